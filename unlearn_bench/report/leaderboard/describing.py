"""Prints a leaderboard."""

from __future__ import annotations

from unlearn_bench.report.leaderboard.standings import FORGET_SET, Leaderboard, Standing
from unlearn_bench.report.ties import LEVEL

HEADER = ["Method", "Mean rank", "Mean gap", "95 % interval", "Largest gap", "Acc(D_r)", "Cost", "Front"]
LEGEND = (
    "Mean gap: |mean − mean of the retrained models|, divided by the typical difference of two retrained models with "
    "different seeds, then averaged over the metrics and the blocks. Row Retrained: how far the retrained models of a "
    "seed are from those of all other seeds. 95 % interval: Student's t over seeds, without that of the unit. "
    "Largest gap: the metric with the largest gap, in the same unit. Acc(D_r): difference from the retrained models on "
    "retained test images, in points. Cost: images passed forward and backward, relative to retraining. Front: + if no "
    "other method is at least as good in all three of mean gap, Acc(D_r) and cost."
)
MARKS = "*: the best mean rank; =: not significantly worse."


def describe(board: Leaderboard) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns header, body and notes of a leaderboard."""
    tied = board.ranking.tied_with_best() if board.ranking.decides else []
    front = {standing.label for standing in board.front}
    best = min(board.ranking.means.values())
    body = []
    for standing in board.standings:
        mean = board.ranking.means.get(standing.label)
        mark = "" if mean is None or standing.label not in tied else " *" if mean == best else " ="
        rank = "–" if mean is None else f"{mean:.1f}{mark}"
        body.append([standing.label, rank, *_numbers(standing), "+" if standing.label in front else ""])
    return HEADER, body, [LEGEND, *([MARKS] if tied else []), *notes_of(board)]


def _numbers(standing: Standing) -> list[str]:
    interval = standing.interval
    name, size = standing.largest
    return [
        f"{standing.gap:.1f}×",
        "–" if interval is None else f"[{interval[0]:.1f}, {interval[1]:.1f}]",
        f"{name} {size:.1f}×",
        "–" if standing.kept is None else f"{standing.kept:+.1f}",
        "–" if standing.cost is None else f"{standing.cost:.1%}" if standing.cost < 0.1 else f"{standing.cost:.0%}",
    ]


def notes_of(board: Leaderboard) -> list[str]:
    """Returns a sentence on what the mean ranks can show, and the notes of the leaderboard."""
    ranking = board.ranking
    what = f"Mean rank over {ranking.blocks} block{'s' if ranking.blocks > 1 else ''} ({'; '.join(_blocks(board))})."
    if ranking.p_value is None or ranking.critical is None:
        return [f"{what} Too few methods or blocks for a test.", *board.notes]
    notes = [what, f"Friedman's test that all methods rank alike: p = {ranking.p_value:.2g}."]
    if ranking.decides:
        notes.append(
            f"Two mean ranks are significantly different if they differ by more than {ranking.critical:.1f} (Nemenyi's "
            f"critical difference, {LEVEL:.0%})."
        )
    else:
        notes.append(f"The order may be due to chance (level {LEVEL:.0%}).")
    if any(FORGET_SET in block for block in next(iter(board.methods)).by_block):
        notes.append(
            "Forget sets of one seed share an original model, so this test finds differences too often. Give several "
            "seeds for independent blocks."
        )
    return [" ".join(notes), *board.notes]


def _blocks(board: Leaderboard) -> list[str]:
    """Returns the blocks in words: ``table A, seeds 0, 1``."""
    by_table: dict[str, list[str]] = {}
    for block in next(iter(board.methods)).by_block:
        table, _, name = block.partition(", ")
        kind, _, value = name.rpartition(" ")
        by_table.setdefault(f"{table}, {kind}", []).append(value)
    return [f"{kind}{'s' if len(values) > 1 else ''} {', '.join(values)}" for kind, values in by_table.items()]
