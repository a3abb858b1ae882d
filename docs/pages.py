"""Pages that MkDocs builds from the project itself: the README, its results, every registry, every command."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("results", "benchmarks")  # folders that the README links into


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that no one writes by hand."""
    pages = {
        "index.md": _linked((ROOT / "README.md").read_text(encoding="utf-8")),
        "methods.md": _methods(),
        "metrics.md": _metrics(),
        "choices.md": _choices(),
        "commands.md": _commands(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    for source in _linked_files():
        if source.suffix == ".md":
            content = source.read_text(encoding="utf-8")
            files.append(File.generated(config, str(source.relative_to(ROOT)), content=_linked(content)))
        else:
            files.append(File.generated(config, str(source.relative_to(ROOT)), abs_src_path=str(source)))
    return files


def _linked_files() -> list[Path]:
    folders = (path for name in COPIED for path in (ROOT / name).rglob("*"))
    kinds = {".md", ".png", ".svg", ".csv", ".json", ".txt", ".yaml"}
    return [
        path for path in folders if path.suffix in kinds and "sqlite" not in path.name and "models" not in path.parts
    ]


def _linked(text: str) -> str:
    """Returns Markdown whose links to a folder lead to its README."""
    return re.sub(r"\]\(((?:\.\./)?(?:results|benchmarks))/\)", r"](\1/README.md)", text)


def _methods() -> str:
    from unlearn_bench.methods import methods
    from unlearn_bench.options import describe

    parts = [
        "# Methods",
        "",
        _table(
            ["name", "label", "train set", "source"],
            ([f"[{m.name}](#{m.name})", m.label, m.train_set, m.source] for m in methods),
        ),
    ]
    for method in methods:
        parts += [f"## {method.name}", "", inspect.getdoc(method.function) or "", ""]
        parts += [method.note, ""] if method.note else []
        options = describe(method.function)
        rows = ([o.name, o.type, o.default, o.range, o.help] for o in options)
        parts += [_table(["option", "type", "default", "range", "what it is"], rows)] if options else []
        parts += [f"Preset `{name}`: {_pairs(values)}." for name, values in method.presets.items()]
    return "\n".join(parts)


def _metrics() -> str:
    from unlearn_bench.metrics import metrics

    parts = [
        "# Metrics",
        "",
        _table(
            ["name", "label", "from", "to", "good", "reads", "settings"],
            (
                [
                    f"[{m.name}](#{m.name})",
                    m.label,
                    f"{m.bounds[0]:g}",
                    f"{m.bounds[1]:g} {m.unit}",
                    m.better,
                    m.reads,
                    ", ".join(m.settings) or "all",
                ]
                for m in metrics
            ),
        ),
    ]
    for metric in metrics:
        parts += [f"## {metric.name}", "", inspect.getdoc(metric.function) or "", ""]
        parts += [f"Source: {metric.source}. Definition {metric.version}.", ""]
        said = {"Can show": metric.shows, "Cannot show": metric.hides, "Without a retrained model": metric.alone}
        parts += [f"- **{what}**: {sentence}" for what, sentence in said.items() if sentence]
    return "\n".join(parts)


def _choices() -> str:
    from unlearn_bench.data import datasets
    from unlearn_bench.data.settings import settings
    from unlearn_bench.models import models

    parts = ["# Settings, data sets, models"]
    for title, registry in (("Settings", settings), ("Data sets", datasets), ("Models", models)):
        entries: Iterable[Any] = registry
        parts += [
            "",
            f"## {title}",
            "",
            _table(
                ["name", "label", "what it is", "source"], ([e.name, e.label, e.summary, e.source] for e in entries)
            ),
        ]
    return "\n".join(parts)


def _commands() -> str:
    from typer.main import get_command

    from unlearn_bench.cli.app import app

    group: Any = get_command(app)
    parts = ["# Commands", ""]
    for name in sorted(group.commands):
        command = group.commands[name]
        rows = (
            [f"`{', '.join(p.opts) if p.opts[0].startswith('-') else p.name.upper()}`", getattr(p, "help", "") or ""]
            for p in command.params
        )
        parts += [f"## {name}", "", command.help or "", "", _table(["option", "what it is"], rows), ""]
    return "\n".join(parts)


def _table(header: list[str], rows: Iterable[list[Any]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([*lines, ""])


def _pairs(values: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
