"""What there is to choose from, described in text: for ``list`` and ``explain``."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping

from unlearn_bench.config import Benchmarks, Measured, Profile, Scalar
from unlearn_bench.data import datasets
from unlearn_bench.data.settings import settings
from unlearn_bench.errors import unknown_name
from unlearn_bench.methods import methods
from unlearn_bench.metrics import metrics
from unlearn_bench.models import models
from unlearn_bench.options import describe
from unlearn_bench.registry import Entry
from unlearn_bench.report.listing import plain_table

REGISTRIES: dict[str, Iterable[Entry]] = {
    "methods": methods,
    "metrics": metrics,
    "datasets": datasets,
    "models": models,
    "settings": settings,
}


def describe_kind(kind: str, benchmarks: Benchmarks) -> str:
    """Returns a table of all entries of a kind.

    Raises:
        UnknownNameError: no such kind.
    """
    titled: dict[str, Mapping[str, Measured | Profile]] = {
        "tables": benchmarks.tables,
        "figures": benchmarks.figures,
        "profiles": benchmarks.profiles,
    }
    if kind in titled:
        return plain_table([kind[:-1], "title"], [[name, entry.title] for name, entry in titled[kind].items()])
    if kind not in REGISTRIES:
        raise unknown_name("kind", kind, [*REGISTRIES, *titled])
    entries = list(REGISTRIES[kind])
    body = [[entry.name, entry.label, textwrap.fill(entry.summary, 72), entry.source] for entry in entries]
    plugins = [f"Plug-in: {entry.name} of {entry.origin}." for entry in entries if entry.origin]
    return "\n".join([plain_table(["name", "label", "what it is", "source"], body), *plugins])


def describe_method(name: str, benchmarks: Benchmarks) -> str:
    """Returns a method's exact recipe: definition, data, hyper-parameters, presets, what profiles change.

    Raises:
        UnknownNameError: no such method.
    """
    method = methods.get(name)
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
        changed = dict(chosen.recipe) if method.from_scratch else chosen.options.get(name, {})
        if changed:
            parts.append(f"In profile {profile}: {_pairs(changed)}.")
    return "\n\n".join(parts)


def _pairs(values: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
