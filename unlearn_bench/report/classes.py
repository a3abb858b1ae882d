"""The view by class: what a method does to each retained class, and where the forgotten samples are classified now."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from unlearn_bench.config import Row
from unlearn_bench.errors import MissingRunError
from unlearn_bench.report.tables import RETRAINED, comparable_runs, label_of, runs_of_row
from unlearn_bench.selection import Selection
from unlearn_bench.store import Store
from unlearn_bench.store.records import Counts

SHOWN = 3  # classes of the forgotten samples, the most frequent ones

LEGEND = (
    "Test accuracy of each retained class less the retrained model's, in points, the mean over the configurations in "
    "which the class is retained; what the training images of D_f are classified as now, and the total variation "
    "distance of that from the retrained model (0: the same, 1: nothing in common)."
)

Shares = dict[int, float]  # label to share
Predicted = dict[str, Counts]


def describe_classes(
    placed: Sequence[tuple[Row, Selection]], store: Store
) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns header, body and notes: for each method its change of each retained class, and its forgotten samples.

    A change is the accuracy on the class's test images less the retrained model's, in points, the mean over the
    configurations in which the class is retained. The last columns say which classes D_f's training images are
    classified as, and how far that is from the retrained model's (total variation, 0 to 1).

    Raises:
        MissingRunError: the rows span several data sets or settings, or no retrained model is recorded.
    """
    selection = placed[0][1]
    if any(other != selection for _, other in placed):
        raise MissingRunError("A view by class needs a table of one data set and setting. Choose another table.")
    recorded = comparable_runs(selection.experiment.key, store)
    names, _ = store.class_names(selection.experiment.key)
    counts = store.predicted([run.key for run in recorded])
    reference = runs_of_row(recorded, Row(method=RETRAINED), selection)
    if not reference:
        raise MissingRunError("A view by class needs the retrained runs of the table. Make them with: reproduce")
    methods = store.methods()
    body = []
    for row, _ in placed:
        runs = runs_of_row(recorded, row, selection)
        pairs = [
            (counts.get(run.key), counts.get(reference[pair].key)) for pair, run in runs.items() if pair in reference
        ]
        known = [(own, other) for own, other in pairs if own is not None and other is not None]
        body.append([label_of(row, methods), *_cells(known, names)])
    return ["Method", *names, "D_f is classified as", "distance"], body, [LEGEND]


def _cells(pairs: Sequence[tuple[Predicted, Predicted]], names: Sequence[str]) -> list[str]:
    """Returns a method's line from its (own, retrained) counts, a pair for each configuration."""
    if not pairs:
        return ["–"] * (len(names) + 2)
    changes: dict[int, list[float]] = defaultdict(list)
    goes: dict[int, float] = defaultdict(float)
    apart = []
    for own, other in pairs:
        retrained = accuracies(other["retain"])
        for label, accuracy in accuracies(own["retain"]).items():
            changes[label].append(100 * (accuracy - retrained[label]))
        ours, theirs = shares(own["forget"]), shares(other["forget"])
        for label, share in ours.items():
            goes[label] += share / len(pairs)
        apart.append(sum(abs(ours.get(k, 0.0) - theirs.get(k, 0.0)) for k in ours.keys() | theirs.keys()) / 2)
    cells = [f"{statistics.fmean(changes[k]):+.1f}" if k in changes else "–" for k in range(len(names))]
    most = sorted(goes, key=lambda label: -goes[label])[:SHOWN]
    return [*cells, ", ".join(f"{names[k]} {goes[k]:.0%}" for k in most), f"{statistics.fmean(apart):.2f}"]


def accuracies(counts: Counts) -> Shares:
    """Returns the accuracy on each true label of (true, predicted, number) counts."""
    total: dict[int, int] = defaultdict(int)
    right: dict[int, int] = defaultdict(int)
    for true, predicted, number in counts:
        total[true] += number
        right[true] += number if true == predicted else 0
    return {label: right[label] / total[label] for label in total}


def shares(counts: Counts) -> Shares:
    """Returns the share of each predicted label."""
    total = sum(number for _, _, number in counts)
    found: dict[int, float] = defaultdict(float)
    for _, predicted, number in counts:
        found[predicted] += number / total
    return dict(found)
