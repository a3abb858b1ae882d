"""How a trial of a tuning search is scored, and which trial is chosen."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unlearn_bench.config.benchmarks import Scalar
from unlearn_bench.data.scenarios import scenarios
from unlearn_bench.metrics import metrics
from unlearn_bench.store.records import RunRecord

TOLERATED_LOSS = 0.05  # of accuracy on D'_r, as a share
RESOLUTION = 0.01  # gains that differ by less count as equal

Options = dict[str, Scalar]


@dataclass(frozen=True)
class Trial:
    """A combination of options and its results.

    Attributes:
        options: the options that the search varies.
        shares: the parts of the score by name, and ``lost``, the loss of accuracy on D'_r as a share; with the oracle
            objective, the mean gap of each metric. Empty if one of the runs diverged or failed.
        score: from 0 to 1, greater is better; 0 if one of the runs diverged or failed.
        gain: mean over the configurations of the score minus the original model's score, minus one standard error of
            that mean; with the oracle objective, the same of the score itself.
        usable: whether every run is done and the loss of accuracy on D'_r is at most ``TOLERATED_LOSS``.
        runs: one run per configuration.
        rejected: why a trial that was usable is not chosen, as part of a sentence: where its repeat was not usable.
    """

    options: Options
    shares: dict[str, float]
    score: float
    gain: float
    usable: bool
    runs: tuple[RunRecord, ...]
    rejected: str = ""

    @property
    def passes(self) -> int:
        """Number of images passed forward plus number passed backward, the cost of the trial."""
        return sum(run.model.forward_images + run.model.backward_images for run in self.runs if run.model)


def in_order(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the chosen trial, then the others: usable trials first, failed or diverged ones last, each by gain.

    The chosen trial is the one with the fewest passes among those whose gain is within ``RESOLUTION`` of the greatest;
    of several, the first.
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


def honest(options: Options, runs: Sequence[RunRecord], originals: Sequence[RunRecord]) -> Trial:
    """Returns a trial with the honest objective: from its runs on held-out images and the original model's runs."""
    if any(run.status != "done" for run in runs):
        return Trial(options, {}, 0.0, 0.0, False, tuple(runs))
    after, before = ([_honest_shares(run) for run in side] for side in (runs, originals))
    shares = {name: statistics.fmean(run_shares[name] for run_shares in after) for name in after[0]}
    lost = statistics.fmean(run_shares["retain"] for run_shares in before) - shares["retain"]
    gains = [statistics.fmean(a.values()) - statistics.fmean(b.values()) for a, b in zip(after, before, strict=True)]
    score = statistics.fmean(shares.values())
    return Trial(options, {**shares, "lost": lost}, score, _lower_mean(gains), lost <= TOLERATED_LOSS, tuple(runs))


def _honest_shares(run: RunRecord) -> dict[str, float]:
    values = run.values
    return {
        "retain": values["acc_retain"] / 100,
        **({} if scenarios.get(run.scenario).keeps_class else {"forgotten": 1 - values["acc_forget"] / 100}),
        "da": values["da"],
        "mixed": 1 - values["nmi"],
    }


def oracle(options: Options, runs: Sequence[RunRecord], retrained: Sequence[RunRecord]) -> Trial:
    """Returns a trial with the oracle objective: from the gaps of its runs to the retrained models."""
    if any(run.status != "done" for run in (*runs, *retrained)):
        return Trial(options, {}, 0.0, 0.0, False, tuple(runs))
    gaps = [
        {
            metric.name: abs(run.values[metric.name] - other.values[metric.name]) / (100 if metric.unit == "%" else 1)
            for metric in metrics
            if not metric.origin and not metric.on_request and metric.name in run.values
        }
        for run, other in zip(runs, retrained, strict=True)
    ]
    means = {name: statistics.fmean(run_gaps[name] for run_gaps in gaps) for name in gaps[0]}
    scores = [1 - statistics.fmean(run_gaps.values()) for run_gaps in gaps]
    return Trial(options, means, statistics.fmean(scores), _lower_mean(scores), True, tuple(runs))


def _lower_mean(values: Sequence[float]) -> float:
    """Returns the mean minus its standard error; the value itself if there is only one."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.fmean(values) - error


def lines_of(ranked: Sequence[Trial], limit: int) -> Iterator[list[str]]:
    """Yields a header row, then the first ``limit`` trials as rows of text: options, shares, score, gain, cost."""
    shares = next(list(trial.shares) for trial in ranked if trial.shares)
    names = list(ranked[0].options)
    yield [*names, *shares, "score", "gain", "usable", "images passed"]
    for trial in ranked[:limit]:
        values = [f"{trial.shares[name]:.3f}" if trial.shares else "–" for name in shares]
        options = [_shown(trial.options.get(name)) for name in names]
        usable = (
            ("yes" if trial.usable else "rejected" if trial.rejected else "no")
            if trial.shares
            else ", ".join({run.status for run in trial.runs})
        )
        yield [*options, *values, f"{trial.score:.4f}", f"{trial.gain:.4f}", usable, f"{trial.passes:,}"]


def rejections(ranked: Sequence[Trial]) -> Iterator[str]:
    """Yields a sentence for each trial that was usable and whose repeat was not."""
    for trial in ranked:
        if trial.rejected:
            options = ", ".join(f"{option} {value}" for option, value in trial.options.items())
            yield (
                f"Not chosen: {options}. Repeated {trial.rejected}, it diverged or reduced accuracy on the retained "
                "classes by more than five points."
            )


def _shown(value: Scalar | None) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
