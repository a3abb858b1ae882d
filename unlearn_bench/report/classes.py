"""The view by class: a method's accuracy on each retained class, and its predictions on the forgotten images."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Selection
from unlearn_bench.core.errors import MissingRunError
from unlearn_bench.report.tables import RETRAINED, comparable_runs, label_of, runs_of_row
from unlearn_bench.store import Store
from unlearn_bench.store.records import Counts

SHOWN = 3  # number of predicted classes of D_f that are shown, the most frequent ones

LEGEND = (
    "A column of a class: test accuracy on it minus the retrained model's, in percentage points, the mean over the "
    "configurations that retain it. D_f is classified as: the most frequent predictions on the training images of D_f. "
    "distance: total variation distance of these predictions from the retrained model's (0: equal, 1: disjoint)."
)

Shares = dict[int, float]  # label to share
Predicted = dict[str, Counts]


def describe_classes(
    placed: Sequence[tuple[Row, Selection]], store: Store
) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns header, body and notes of a table with a row per method and a column per class.

    A cell is the accuracy on the class's test images minus the retrained model's, in percentage points: the mean over
    the configurations that retain the class. The last two columns are the most frequent predictions on the training
    images of D_f, and the total variation distance of the predictions from the retrained model's, 0 to 1.

    Raises:
        MissingRunError: the rows have several data sets or scenarios, or no retrained model is recorded.
    """
    selection = placed[0][1]
    if any(other != selection for _, other in placed):
        raise MissingRunError("The view by class needs a table with one data set and one scenario. Choose another.")
    recorded = comparable_runs(selection.experiment.key, store)
    names, _ = store.class_names(selection.experiment.key)
    counts = store.predicted([run.key for run in recorded])
    reference = runs_of_row(recorded, Row(method=RETRAINED), selection)
    if not reference:
        raise MissingRunError("The view by class needs retrained runs. Make them with: unlearn-bench reproduce")
    methods = store.methods()
    body = []
    for row, _ in placed:
        runs = runs_of_row(recorded, row, selection)
        pairs = [
            (counts.get(run.key), counts.get(reference[pair].key)) for pair, run in runs.items() if pair in reference
        ]
        complete = [(own, other) for own, other in pairs if own is not None and other is not None]
        body.append([label_of(row, methods), *_cells(complete, names)])
    return ["Method", *names, "D_f is classified as", "distance"], body, [LEGEND]


def _cells(pairs: Sequence[tuple[Predicted, Predicted]], names: Sequence[str]) -> list[str]:
    """Returns a method's cells from its (own, retrained) counts, one pair per configuration."""
    if not pairs:
        return ["–"] * (len(names) + 2)
    changes: dict[int, list[float]] = defaultdict(list)
    predicted: dict[int, float] = defaultdict(float)
    distances = []
    for own, other in pairs:
        retrained = accuracies(other["retain"])
        for label, accuracy in accuracies(own["retain"]).items():
            changes[label].append(100 * (accuracy - retrained[label]))
        ours, theirs = shares(own["forget"]), shares(other["forget"])
        for label, share in ours.items():
            predicted[label] += share / len(pairs)
        distances.append(sum(abs(ours.get(k, 0.0) - theirs.get(k, 0.0)) for k in ours.keys() | theirs.keys()) / 2)
    cells = [f"{statistics.fmean(changes[k]):+.1f}" if k in changes else "–" for k in range(len(names))]
    most = sorted(predicted, key=lambda label: -predicted[label])[:SHOWN]
    return [*cells, ", ".join(f"{names[k]} {predicted[k]:.0%}" for k in most), f"{statistics.fmean(distances):.2f}"]


def accuracies(counts: Counts) -> Shares:
    """Returns the accuracy, 0 to 1, on each true label of (true, predicted, number) counts.

    >>> accuracies([[0, 0, 3], [0, 1, 1]])
    {0: 0.75}
    """
    total: dict[int, int] = defaultdict(int)
    right: dict[int, int] = defaultdict(int)
    for true, predicted, number in counts:
        total[true] += number
        right[true] += number if true == predicted else 0
    return {label: right[label] / total[label] for label in total}


def shares(counts: Counts) -> Shares:
    """Returns the share, 0 to 1, of each predicted label of (true, predicted, number) counts.

    >>> shares([[0, 0, 3], [0, 1, 1]])
    {0: 0.75, 1: 0.25}
    """
    total = sum(number for _, _, number in counts)
    by_label: dict[int, float] = defaultdict(float)
    for _, predicted, number in counts:
        by_label[predicted] += number / total
    return dict(by_label)
