"""How a trial of a search is judged, and which one is chosen: what :mod:`unlearn_bench.tuning` says, in numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unlearn_bench.config import Scalar
from unlearn_bench.metrics import metrics
from unlearn_bench.store.records import RunRecord

TOLERATED_LOSS = 0.05
RESOLUTION = 0.01  # of a gain

Options = dict[str, Scalar]


@dataclass(frozen=True)
class Trial:
    """A setting and how it did.

    Attributes:
        options: those searched over.
        shares: what the score is made of; empty where a run of it diverged or failed.
        score: greater is better; 0 where a run of it diverged or failed.
        gain: mean of score less the original model's over the configurations, less one standard error of that mean;
            by the oracle of the score itself.
        usable: whether it ended, and damaged nothing.
        runs: on every configuration.
        steady: whether it was usable from disturbed start weights too, where that was tried.
    """

    options: Options
    shares: dict[str, float]
    score: float
    gain: float
    usable: bool
    runs: tuple[RunRecord, ...]
    steady: bool = True

    @property
    def passes(self) -> int:
        """Images that passed forward and backward, its cost."""
        return sum(run.model.forward_images + run.model.backward_images for run in self.runs if run.model)


def in_order(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the chosen trial, then the others by usability and gain.

    Chosen is the trial of the fewest passes, and of these the first, among those whose gain is within ``RESOLUTION`` of
    the greatest. Usable trials come first, those that diverged or failed last.
    """
    ranked = sorted(trials, key=lambda trial: (not trial.usable, not trial.shares, -trial.gain))
    best = ranked[0]
    near = [
        trial
        for trial in trials
        if (trial.usable, bool(trial.shares)) == (best.usable, bool(best.shares))
        and trial.gain >= best.gain - RESOLUTION
    ]
    chosen = min(near, key=lambda trial: trial.passes)
    return [chosen, *(trial for trial in ranked if trial is not chosen)]


def honest(setting: Options, runs: Sequence[RunRecord], originals: Sequence[RunRecord]) -> Trial:
    """Returns the trial of a setting by its runs on held-out images and those of the original model."""
    if any(run.status != "done" for run in runs):
        return Trial(setting, {}, 0.0, 0.0, False, tuple(runs))
    made, before = ([_honest_shares(run) for run in side] for side in (runs, originals))
    shares = {name: statistics.fmean(each[name] for each in made) for name in made[0]}
    lost = statistics.fmean(each["retain"] for each in before) - shares["retain"]
    gains = [statistics.fmean(a.values()) - statistics.fmean(b.values()) for a, b in zip(made, before, strict=True)]
    score = statistics.fmean(shares.values())
    return Trial(setting, {**shares, "lost": lost}, score, _surely(gains), lost <= TOLERATED_LOSS, tuple(runs))


def _honest_shares(run: RunRecord) -> dict[str, float]:
    values = run.values
    is_subclass = run.spec["experiment"]["setting"] == "subclass"
    return {
        "retain": values["acc_retain"] / 100,
        **({} if is_subclass else {"forgotten": 1 - values["acc_forget"] / 100}),
        "da": values["da"],
        "mixed": 1 - values["nmi"],
    }


def oracle(setting: Options, runs: Sequence[RunRecord], retrained: Sequence[RunRecord]) -> Trial:
    """Returns the trial of a setting by the gaps of its runs to the retrained models."""
    if any(run.status != "done" for run in (*runs, *retrained)):
        return Trial(setting, {}, 0.0, 0.0, False, tuple(runs))
    gaps = [
        {
            metric.name: abs(run.values[metric.name] - other.values[metric.name]) / (100 if metric.unit == "%" else 1)
            for metric in metrics
            if not metric.origin and metric.name in run.values
        }
        for run, other in zip(runs, retrained, strict=True)
    ]
    means = {name: statistics.fmean(each[name] for each in gaps) for name in gaps[0]}
    scores = [1 - statistics.fmean(each.values()) for each in gaps]
    return Trial(setting, means, statistics.fmean(scores), _surely(scores), True, tuple(runs))


def _surely(values: Sequence[float]) -> float:
    """Returns the mean less its standard error; the value itself where there is one."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.fmean(values) - error


def lines_of(ranked: Sequence[Trial], limit: int) -> Iterator[list[str]]:
    """Yields the first trials as rows of text: the options, the shares, the score, the cost, the first one's names."""
    shares = next(list(trial.shares) for trial in ranked if trial.shares)
    names = list(ranked[0].options)
    yield [*names, *shares, "score", "gain", "usable", "images passed"]
    for trial in ranked[:limit]:
        values = [f"{trial.shares[name]:.3f}" if trial.shares else "–" for name in shares]
        options = [_shown(trial.options.get(name)) for name in names]
        usable = (
            ("yes" if trial.usable else "no" if trial.steady else "unsteady")
            if trial.shares
            else ", ".join({run.status for run in trial.runs})
        )
        yield [*options, *values, f"{trial.score:.4f}", f"{trial.gain:.4f}", usable, f"{trial.passes:,}"]


def _shown(value: Scalar | None) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
