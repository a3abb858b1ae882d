"""Methods, metrics, data sets and other entries described as text, for ``list`` and ``explain``."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unlearn_bench.config.benchmarks import Benchmarks, Measured, Scalar
from unlearn_bench.core.errors import unknown_name
from unlearn_bench.core.options import Option, describe
from unlearn_bench.core.registry import Entry
from unlearn_bench.data import datasets
from unlearn_bench.data.scenarios import scenarios
from unlearn_bench.methods import Method, methods
from unlearn_bench.metrics import Metric, metrics
from unlearn_bench.metrics.comparisons import Comparison, comparisons
from unlearn_bench.models import models
from unlearn_bench.report.listing import Listing, plain_table

REGISTRIES: dict[str, Iterable[Entry]] = {
    "methods": methods,
    "metrics": metrics,
    "datasets": datasets,
    "models": models,
    "scenarios": scenarios,
}


ON_REQUEST = "give --metric NAME to `run` or `reproduce`, or name it in `metrics` of a table of benchmarks.yaml."


def list_kind(kind: str, benchmarks: Benchmarks) -> tuple[Listing, list[str]]:
    """Returns a table with a line for each entry of a kind, and notes below it, such as one for each plug-in.

    Raises:
        UnknownNameError: there is no such kind.
    """
    papers_entries: dict[str, Mapping[str, Measured]] = {"tables": benchmarks.tables, "figures": benchmarks.figures}
    titled = {
        kind: [[name, benchmarks.papers_title(entry)] for name, entry in entries.items()]
        for kind, entries in papers_entries.items()
    }
    titled["profiles"] = [[name, profile.title] for name, profile in benchmarks.profiles.items()]
    if kind in titled:
        return ([kind[:-1], "title"], titled[kind]), []
    if kind not in REGISTRIES:
        raise unknown_name("kind", kind, [*REGISTRIES, *titled])
    entries = list(REGISTRIES[kind])
    header = ["name", "label", "what it is", "source"]
    body: list[list[Any]] = [[entry.name, entry.label, entry.summary, entry.source] for entry in entries]
    notes = [f"Plug-in: {entry.name}, from {entry.origin}." for entry in entries if entry.origin]
    if kind == "metrics":  # functions of one model's outputs, and of two models'
        header.insert(2, "computed")
        for line, entry in zip(body, metrics, strict=True):
            line.insert(2, computed(entry))
        body += [[c.name, c.label, "by compare, with retrained", c.summary, c.source] for c in comparisons]
        notes += [f"Plug-in: {entry.name}, from {entry.origin}." for entry in comparisons if entry.origin]
        notes.insert(0, f"On request: {ON_REQUEST}")
    return (header, body), notes


def computed(metric: Metric) -> str:
    """Returns when a metric is computed, as a cell of a table."""
    return "on request" if metric.on_request else "in every run"


def describe_entry(name: str, benchmarks: Benchmarks) -> str:
    """Returns a recipe of a method, a definition of a metric or score, or what a model, data set or scenario is.

    Raises:
        UnknownNameError: there is no such entry.
    """
    if name in methods.names():
        return describe_method(methods.get(name), benchmarks)
    if name in metrics.names():
        return describe_metric(metrics.get(name))
    if name in comparisons.names():
        return describe_comparison(comparisons.get(name))
    entries = {entry.name: entry for kind in ("scenarios", "datasets", "models") for entry in REGISTRIES[kind]}
    if name not in entries:
        raise unknown_name(
            "method, metric, model, dataset or scenario",
            name,
            [*methods.names(), *metrics.names(), *comparisons.names(), *entries],
        )
    return describe_other(entries[name])


def describe_other(entry: Entry) -> str:
    """Returns what a model, a data set or a scenario is, its version, and its options."""
    options = describe(entry.function)
    return "\n\n".join(
        [
            f"{entry.name}: {entry.label}",
            re.split(r"\n\n(?:Args|Raises|Example):", inspect.getdoc(entry.function) or "")[0],  # for Python users
            f"Source: {entry.source}.",
            f"A plug-in from {entry.origin}, version {entry.revision}."
            if entry.origin
            else f"Version {entry.revision}.",
            *([_option_table(options)] if options else []),
        ]
    )


def describe_metric(metric: Metric) -> str:
    """Returns a metric's definition, its range, the tensors it is computed from, and what it can and cannot show."""
    low, high = metric.bounds
    parts = [
        f"{metric.name}: {metric.label}",
        (inspect.getdoc(metric.function) or "").split("\n\nExample:")[0],  # examples are for Python users
        f"Source: {metric.source}.",
        f"From {low:g} to {high:g} {metric.unit}".rstrip()
        + f"; good: {metric.better}. Computed from the {metric.reads}; "
        f"version {metric.revision}.",
    ]
    parts += [f"Computed on request: {ON_REQUEST}"] if metric.on_request else []
    parts += ["Reads a part of the images, chosen by their positions."] if metric.by_position else []
    parts += [f"Defined only in the scenario {' or '.join(metric.scenarios)}."] if metric.scenarios else []
    said = {
        "Can show": metric.shows,
        "Cannot show": metric.hides,
        "Without a retrained model": metric.without_reference,
    }
    return "\n\n".join([*parts, *_statements(metric, said)])


def describe_comparison(score: Comparison) -> str:
    """Returns the definition of a score of likeness, its range and best value, and what it can and cannot show."""
    low, high = score.bounds
    parts = [
        f"{score.name}: {score.label}",
        re.split(r"\n\n(?:Raises|Example):", inspect.getdoc(score.function) or "")[0],
        f"Source: {score.source}.",
        f"From {low:g} to {high:g} {score.unit}".rstrip() + f"; equal models: {score.best:g}. Compared with retrained, "
        f"from the {score.reads} of both models; version {score.revision}.",
    ]
    return "\n\n".join([*parts, *_statements(score, {"Can show": score.shows, "Cannot show": score.hides})])


def _statements(entry: Metric | Comparison, said: Mapping[str, str]) -> list[str]:
    parts = [f"Not defined in the scenario {name}: {why}." for name, why in entry.undefined.items()]
    parts += [f"A plug-in from {entry.origin}."] if entry.origin else []
    return parts + [textwrap.fill(f"{title}: {sentence}", 100) for title, sentence in said.items() if sentence]


def describe_method(method: Method, benchmarks: Benchmarks) -> str:
    """Returns a method's recipe: definition, data, hyper-parameters, presets, and what each profile changes."""
    parts = [
        f"{method.name}: {method.label}",
        inspect.getdoc(method.function) or "",
        f"Source: {method.source}.",
        f"Training data: {method.train_set}.",
    ]
    if method.origin:
        parts.append(f"A plug-in from {method.origin}, version {method.revision}.")
    if method.is_cheat:
        parts.append("A cheat: it forgets nothing, and shows which metrics can be passed without forgetting.")
    if method.makes_inputs:
        parts.append("It makes its own inputs: the images that it passes through a network are not checked.")
    if method.note:
        parts.append(textwrap.fill(method.note, 100))
    parts.append(_option_table(describe(method.function)))
    for preset, values in method.presets.items():
        parts.append(f"Preset {preset} (--preset {preset}): {_pairs(values)}.")
    for name, profile in benchmarks.profiles.items():
        changed = dict(profile.recipe) if method.from_scratch else profile.options.get(method.name, {})
        if changed:
            parts.append(f"In profile {name}: {_pairs(changed)}.")
    return "\n\n".join(parts)


def _option_table(options: Sequence[Option]) -> str:
    return plain_table(
        ["option", "type", "default", "range", "what it is"],
        [[option.name, option.type, option.default, option.range, option.help] for option in options],
    )


def _pairs(values: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
