"""Text on a model of a user before and after unlearning."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlearn_bench.report.listing import plain_table
from unlearn_bench.store.records import RunRecord

LIMIT = (
    "Without a model that was retrained without the forget set, these values cannot show that the model forgot as if "
    "retrained: nobody knows here which values a retrained model has. To know, retrain at least two models and audit."
)


def describe_change(
    original: RunRecord,
    unlearned: RunRecord,
    readings: Mapping[str, tuple[str, str, str]],
    undefined: Mapping[str, str],
) -> str:
    """Returns a table with every metric before and after unlearning, what it says without a reference, and the cost.

    Args:
        original, unlearned: the runs before and after.
        readings: by metric, its label, its unit, and how to read it without a retrained model.
        undefined: by label, why a metric is not reported.
    """
    body, meanings = [], []
    for name, after in sorted(unlearned.values.items()):
        label, unit, reading = readings[name]
        digits = 1 if unit == "%" else 3
        before = original.values[name]
        body.append([f"{label} {unit}".strip(), f"{before:.{digits}f}", f"{after:.{digits}f}"])
        meanings.append(f"- {label}: {reading}")
    lines = [plain_table(["metric", "before", "after"], body), "", LIMIT, *meanings]
    lines += [f"- {label} is not reported: {why}." for label, why in undefined.items()]
    if model := unlearned.model:
        lines.append(
            f"Cost: {model.method_seconds:.1f} s of the method; {model.forward_images:,} images passed forward and "
            f"{model.backward_images:,} backward."
        )
    return "\n".join([*lines, f"Recorded as run {unlearned.id}; the original is run {original.id}."])


def audit_command(
    unlearned: RunRecord, original: Path, output: Path, dataset: str, forget: str, size: int | None, more: Sequence[str]
) -> str:
    """Returns the command that audits a model after unlearning.

    Args:
        unlearned: the run after unlearning.
        original, output: weights before and after.
        dataset, forget, size: as the user wrote them.
        more: other options that the audit needs.
    """
    model: dict[str, Any] = dict(unlearned.spec["experiment"]["model"])
    words = ["unlearn-bench", "audit", "--model", str(output), "--original", str(original)]
    words += ["--architecture", model.pop("name"), "--dataset", dataset, "--forget", forget]
    words += ["--scenario", unlearned.scenario] if unlearned.scenario != "class" else []
    words += ["--size", str(size)] if size is not None else []
    words += ["--normalise", str(model.pop("normalise"))] if "normalise" in model else []
    for name in ("weights", "source_digest", "last_stage", "input_size"):
        model.pop(name, None)
    words += [word for name, value in model.items() for word in ("--argument", f"{name}={value}")]
    return shlex.join([*words, *more])
