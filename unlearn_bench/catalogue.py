"""What there is to choose from, described in text: for ``list`` and ``explain``."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from unlearn_bench.config import Benchmarks, Measured, Scalar
from unlearn_bench.data import datasets
from unlearn_bench.data.settings import settings
from unlearn_bench.errors import unknown_name
from unlearn_bench.methods import Method, methods
from unlearn_bench.metrics import Metric, metrics
from unlearn_bench.models import models
from unlearn_bench.options import describe
from unlearn_bench.registry import Entry
from unlearn_bench.report.listing import Listing, plain_table

REGISTRIES: dict[str, Iterable[Entry]] = {
    "methods": methods,
    "metrics": metrics,
    "datasets": datasets,
    "models": models,
    "settings": settings,
}


def list_kind(kind: str, benchmarks: Benchmarks) -> tuple[Listing, list[str]]:
    """Returns all entries of a kind, a line each, and where the plug-ins among them come from.

    Raises:
        UnknownNameError: no such kind.
    """
    of_paper: dict[str, Mapping[str, Measured]] = {"tables": benchmarks.tables, "figures": benchmarks.figures}
    titled = {
        kind: [[name, benchmarks.papers_title(entry)] for name, entry in entries.items()]
        for kind, entries in of_paper.items()
    }
    titled["profiles"] = [[name, profile.title] for name, profile in benchmarks.profiles.items()]
    if kind in titled:
        return ([kind[:-1], "title"], titled[kind]), []
    if kind not in REGISTRIES:
        raise unknown_name("kind", kind, [*REGISTRIES, *titled])
    entries = list(REGISTRIES[kind])
    body: list[list[Any]] = [[entry.name, entry.label, entry.summary, entry.source] for entry in entries]
    plugins = [f"Plug-in: {entry.name} of {entry.origin}." for entry in entries if entry.origin]
    return (["name", "label", "what it is", "source"], body), plugins


def describe_entry(name: str, benchmarks: Benchmarks) -> str:
    """Returns a method's exact recipe, or a metric's exact definition with what it can show.

    Raises:
        UnknownNameError: no such method or metric.
    """
    if name in metrics.names() and name not in methods.names():
        return describe_metric(metrics.get(name))
    if name not in methods.names():
        raise unknown_name("method or metric", name, [*methods.names(), *metrics.names()])
    return describe_method(methods.get(name), benchmarks)


def describe_metric(metric: Metric) -> str:
    """Returns a metric's definition, what it is computed from, and what its values tell."""
    low, high = metric.bounds
    parts = [
        f"{metric.name}: {metric.label}",
        inspect.getdoc(metric.function) or "",
        f"Source: {metric.source}.",
        f"From {low:g} to {high:g} {metric.unit}".rstrip()
        + f"; good: {metric.better}. Computed from the {metric.reads}; "
        f"version {metric.revision}.",
    ]
    parts += [f"It speaks in the setting {' or '.join(metric.settings)} alone."] if metric.settings else []
    parts += [f"A plug-in of {metric.origin}."] if metric.origin else []
    said = {"Can show": metric.shows, "Cannot show": metric.hides, "Without a retrained model": metric.alone}
    parts += [textwrap.fill(f"{what}: {sentence}", 100) for what, sentence in said.items() if sentence]
    return "\n\n".join(parts)


def describe_method(method: Method, benchmarks: Benchmarks) -> str:
    """Returns a method's exact recipe: definition, data, hyper-parameters, presets, what profiles change."""
    parts = [
        f"{method.name}: {method.label}",
        inspect.getdoc(method.function) or "",
        f"Source: {method.source}.",
        f"Training data: {method.train_set}.",
    ]
    if method.origin:
        parts.append(f"A plug-in of {method.origin}, version {method.revision}.")
    if method.is_cheat:
        parts.append("A cheat: it forgets nothing, and is there to show which metrics it passes.")
    if method.makes_inputs:
        parts.append("It makes inputs of its own: the images that it passes through networks are not checked.")
    if method.note:
        parts.append(textwrap.fill(method.note, 100))
    options = describe(method.function)
    parts.append(
        plain_table(
            ["option", "type", "default", "range", "what it is"],
            [[option.name, option.type, option.default, option.range, option.help] for option in options],
        )
    )
    for preset, values in method.presets.items():
        parts.append(f"Preset {preset} (--preset {preset}): {_pairs(values)}.")
    for profile, chosen in benchmarks.profiles.items():
        changed = dict(chosen.recipe) if method.from_scratch else chosen.options.get(method.name, {})
        if changed:
            parts.append(f"In profile {profile}: {_pairs(changed)}.")
    return "\n\n".join(parts)


def _pairs(values: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
