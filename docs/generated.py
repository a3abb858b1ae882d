"""The parts of the documentation that are made from the code: each function returns Markdown.

``python docs/generated.py`` writes them into the pages, between ``<!-- generated: NAME -->`` and
``<!-- end: NAME -->``, so that they can be read in the repository too. ``tests/test_documentation.py`` fails if a part
is out of date.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from meanings import COLUMNS, KEYS
from writing import anchor, default_of, docstring, markdown_table, pairs, parameter_name, plain, shown, type_in_words


def methods() -> str:
    """Returns a table of all methods, then each with its docstring, options and presets."""
    from unlearn_bench.methods import methods

    parts = [
        markdown_table(
            ["name", "label", "training data", "source"],
            ([f"[{each.name}](#{anchor(each.name)})", each.label, each.train_set, each.source] for each in methods),
        )
    ]
    for method in methods:
        parts += [f"## {method.name}", "", docstring(method.function), ""]
        parts += [method.note, ""] if method.note else []
        parts += _options(method.function)
        parts += [f"Preset `{name}`: {pairs(values)}.\n" for name, values in method.presets.items()]
    return "\n".join(parts)


def metrics() -> str:
    """Returns a table of all metrics, then each with its definition and what it can and cannot show."""
    from unlearn_bench.metrics import metrics

    header = ["name", "label", "from", "to", "better", "computed from", "computed", "scenarios"]
    rows = [
        [
            f"[{each.name}](#{anchor(each.name)})",
            each.label,
            f"{each.bounds[0]:g}",
            f"{each.bounds[1]:g} {each.unit}".rstrip(),
            each.better,
            each.reads,
            "on request" if each.on_request else "in every run",
            ", ".join(each.scenarios) or f"all{''.join(f' but {name}' for name in each.undefined)}",
        ]
        for each in metrics
    ]
    parts = [markdown_table(header, rows)]
    for metric in metrics:
        parts += [f"## {metric.name}", "", docstring(metric.function), ""]
        parts += [f"Source: {metric.source}. Version of the definition: {metric.version}.", ""]
        said = {
            "Can show": metric.shows,
            "Cannot show": metric.hides,
            "Without a retrained model": metric.without_reference,
        }
        parts += [f"- **{what}**: {sentence}" for what, sentence in said.items() if sentence]
        parts += [""]
    return "\n".join(parts)


def comparisons() -> str:
    """Returns a table of all scores of likeness, then each with its definition and what it can and cannot show."""
    from unlearn_bench.metrics.comparisons import comparisons

    rows = [
        [
            f"[{each.name}](#{anchor(each.name)})",
            each.label,
            f"{each.bounds[0]:.3g}",
            f"{each.bounds[1]:.3g} {each.unit}".rstrip(),
            f"{each.best:g}",
            each.reads,
        ]
        for each in comparisons
    ]
    parts = [markdown_table(["name", "label", "from", "to", "equal models", "computed from"], rows)]
    for score in comparisons:
        parts += [f"### {score.name}", "", docstring(score.function), ""]
        parts += [f"Source: {score.source}. Version of the definition: {score.version}.", ""]
        parts += [f"- **Can show**: {score.shows}", f"- **Cannot show**: {score.hides}", ""]
    return "\n".join(parts)


def scenarios() -> str:
    """Returns a table of all scenarios, and the options of each."""
    from unlearn_bench.data.scenarios import scenarios

    parts = [_entries(scenarios)]
    for scenario in scenarios:
        if table := _options(scenario.function):
            parts += [f"Options of `{scenario.name}`:", "", *table]
    return "\n".join(parts)


def datasets() -> str:
    """Returns a table of all data sets."""
    from unlearn_bench.data import datasets

    return _entries(datasets)


def models() -> str:
    """Returns a table of all models, and the arguments of each."""
    from unlearn_bench.models import models

    parts = [_entries(models)]
    for model in models:
        if table := _options(model.function):
            parts += [f"Arguments of `{model.name}`:", "", *table]
    return "\n".join(parts)


def commands() -> str:
    """Returns every command with its help and its options."""
    from typer.main import get_command

    from unlearn_bench.cli.app import app

    group: Any = get_command(app)
    parts = []
    for name in sorted(group.commands):
        command = group.commands[name]
        shown = [each for each in command.params if not getattr(each, "hidden", False)]
        rows = [[f"`{parameter_name(each)}`", getattr(each, "help", "") or "", default_of(each)] for each in shown]
        parts += [f"## {name}", "", inspect.cleandoc(command.help or ""), ""]
        parts += [markdown_table(["argument or option", "meaning", "default"], rows)]
    return "\n".join(parts)


def profiles() -> str:
    """Returns a table of the profiles of benchmarks.yaml."""
    from unlearn_bench.config.benchmarks import load

    return markdown_table(
        ["profile", "what", "model", "epochs of the references"],
        ([f"`{name}`", each.title, pairs(each.model), each.recipe["epochs"]] for name, each in load().profiles.items()),
    )


def tables() -> str:
    """Returns a table of the tables and figures of benchmarks.yaml."""
    from unlearn_bench.config.benchmarks import load

    benchmarks = load()
    rows = [[f"`--table {name}`", benchmarks.papers_title(each)] for name, each in benchmarks.tables.items()]
    rows += [[f"`--figure {name}`", benchmarks.papers_title(each)] for name, each in benchmarks.figures.items()]
    return markdown_table(["option", "title"], rows)


def benchmark_keys() -> str:
    """Returns every key of benchmarks.yaml with its type, default and meaning, a table for each kind of entry."""
    from unlearn_bench.config import benchmarks as found
    from unlearn_bench.config.expectations import Expectation

    kinds = {
        "Top level": found.Benchmarks,
        "An entry of `datasets`": found.DatasetEntry,
        "An entry of `profiles`": found.Profile,
        "An entry of `subset` in a profile": found.Subset,
        "An entry of `tables`": found.TableEntry,
        "An entry of `figures`": found.FigureEntry,
        "A row of a table or figure": found.Row,
        "An entry of `claims`": found.Claim,
        "An entry of `expectations`": Expectation,
    }
    parts = []
    for title, kind in kinds.items():
        rows = []
        for name, field in kind.model_fields.items():
            default = "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
            meaning = field.description or KEYS.get(f"{kind.__name__}.{name}") or KEYS[name]
            rows.append([f"`{name}`", type_in_words(field.annotation), default, meaning])
        parts += [f"## {title}", "", docstring(kind), "", markdown_table(["key", "type", "default", "meaning"], rows)]
    return "\n".join(parts)


def database() -> str:
    """Returns every table of the database with its columns."""
    from unlearn_bench.store.tables import Base

    parts = []
    known: set[str] = set()
    for mapper in sorted(Base.registry.mappers, key=lambda each: str(each.class_.__tablename__)):
        table: Any = mapper.local_table
        rows = []
        for column in table.columns:
            known.add(place := f"{table.name}.{column.name}")
            keys = [f"[{each.column.table.name}](#{anchor(each.column.table.name)})" for each in column.foreign_keys]
            marks = ["primary key"] if column.primary_key else []
            marks += ["unique"] if column.unique else []
            marks += [f"refers to {key}" for key in keys]
            kind = f"{column.type}".lower() + (" or null" if column.nullable else "")
            rows.append([f"`{column.name}`", kind, ", ".join(marks), COLUMNS.get(place, "")])
        parts += [
            f"## {table.name}",
            "",
            docstring(mapper.class_),
            "",
            markdown_table(["column", "type", "key", "meaning"], rows),
        ]
    if stale := COLUMNS.keys() - known:
        raise LookupError(f"docs/generated.py describes columns that the database does not have: {sorted(stale)}")
    return "\n".join(parts)


def checks() -> str:
    """Returns a list of what `check-method` looks at."""
    from unlearn_bench.checks.conformance import all_checks

    return "".join(f"- {(check.__doc__ or '').splitlines()[0]}\n" for check in all_checks().values())


def renamed() -> str:
    """Returns a table of names that plug-ins for older versions use."""
    from unlearn_bench.core.renamed import ARGUMENTS, ATTRIBUTES, MODULES

    kinds = {"module": MODULES, "argument": ARGUMENTS, "attribute": ATTRIBUTES}
    rows = ([kind, f"`{old}`", f"`{new}`"] for kind, names in kinds.items() for old, new in names.items())
    return markdown_table(["what", "old name", "new name"], rows)


def layers() -> str:
    """Returns the table of layers, the lowest first."""
    from unlearn_bench.core.layers import LAYERS

    rows = (
        [
            f"`{each.name}`",
            each.purpose,
            ", ".join(f"`{name}`" for name in each.imports) or "–",
            ", ".join(each.libraries),
            "yes" if each.torch_free else "",
        ]
        for each in LAYERS
    )
    return markdown_table(
        ["layer", "what belongs in it", "may import, besides `core`", "libraries of its own", "no torch"], rows
    )


PARTS: dict[str, Callable[[], str]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(methods, metrics, comparisons, scenarios, datasets, models, commands),
        *(profiles, tables, benchmark_keys, database, checks, renamed, layers),
    )
}
PART = re.compile(r"^<!-- generated: ([a-z-]+) -->$.*?^<!-- end: \1 -->$", re.MULTILINE | re.DOTALL)


def fill_in(text: str) -> str:
    """Returns a page with every part as the code makes it now. Raises KeyError where there is no such part."""

    def part(found: re.Match[str]) -> str:
        return f"<!-- generated: {found[1]} -->\n\n{PARTS[found[1]]().strip()}\n\n<!-- end: {found[1]} -->"

    return PART.sub(part, text)


def _options(function: Callable[..., Any]) -> list[str]:
    """Returns a table of the options of a function, or nothing where it has none."""
    from unlearn_bench.core.options import describe

    rows = [[each.name, each.type, each.default, each.range, each.help] for each in describe(function)]
    return [markdown_table(["option", "type", "default", "range", "meaning"], rows)] if rows else []


def _entries(entries: Iterable[Any]) -> str:
    rows = ([f"`{each.name}`", each.label, plain(each.summary), each.source] for each in entries)
    return markdown_table(["name", "label", "meaning", "source"], rows)


if __name__ == "__main__":
    for page in sorted(Path(__file__).parent.rglob("*.md")):
        old = page.read_text(encoding="utf-8")
        if (new := fill_in(old)) != old:
            page.write_text(new, encoding="utf-8")
