"""Search of a method's options: every trial is a recorded run, so that an interrupted search goes on where it stopped.

The objective ``honest`` reads D_f and D'_r alone: a fifth of each is held out, the method is given the rest, and the
score is the mean of four shares of what is held out:

    retain     accuracy on D'_r: nothing else is damaged
    forgotten  1 − accuracy on D_f: the model no longer names the class
    da         DA of D_f against the rest of D'_r: the forgotten samples lie in the subspace of the retained ones
    mixed      1 − NMI of clusters and membership, D_f among D'_r: they form no cluster of their own

A cheat of the last layer passes the first two, so the features have their say, in the two ways in which the paper reads
them. A setting that loses more than five points of accuracy on D'_r against the original model is damage, not
unlearning, and comes after all others. What is ranked is not the score but how much surely comes of it: the mean over
the configurations of score less the original model's score, less one standard error of that mean. A setting that
forgets one class and leaves four alone stands on an edge, where another machine's rounding decides; it gains nothing by
this rule. Of the settings whose gain is within ``RESOLUTION`` of the greatest, the cheapest is chosen, then the first
of the grid: grids list mild values first. Of a subclass the share ``forgotten`` is left out: the model goes on to name
the class around it, as the retrained model does. Of random samples nothing can be said honestly.

The objective ``oracle`` is one minus the mean gap to the retrained model over all metrics: it reads test images and
retrained models, which who unlearns does not have.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unlearn_bench.bench import Bench, Machinery
from unlearn_bench.config import Row, Scalar
from unlearn_bench.errors import OptionError, TuningError
from unlearn_bench.methods import Method, methods
from unlearn_bench.metrics import metrics
from unlearn_bench.options import Option, changed, complete, describe
from unlearn_bench.plan import ORIGINAL, resolve
from unlearn_bench.store.records import RunRecord
from unlearn_bench.tuned import Objective, Tuned

HELD_OUT = 0.2
TOLERATED_LOSS = 0.05
RESOLUTION = 0.01  # of a gain
ASKED_AT_ONCE = 4  # settings that the sampler proposes before it hears of the first: enough for a few processes

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


def tune(
    bench: Bench,
    method: str,
    machinery: Machinery,
    *,
    objective: Objective = "honest",
    grid: str | None = None,
    trials: int | None = None,
    disturbances: int = 0,
) -> tuple[Tuned, list[Trial]]:
    """Returns the options chosen for a method, and all trials, the best first.

    How the trials are ordered: see :func:`in_order`. With ``disturbances`` the chosen setting is tried again as often,
    from start weights disturbed by a relative 1e-6, as another processor's rounding would; one that damages there is
    not steady, and the next is tried.

    Args:
        bench: the configurations to search on.
        method: not a reference.
        machinery: where runs are made.
        objective: ``honest`` or ``oracle``.
        grid: a grid of benchmarks.yaml.
        trials: in place of a grid, how many settings Optuna's sampler proposes over the options' declared ranges.
        disturbances: at least 0.

    Raises:
        UserError: a name or option that does not exist, a grid that has nothing for the method, or no trial that ended.
    """
    entry = methods.get(method)
    if entry.from_scratch:
        raise OptionError(f"The method '{method}' is a reference, whose recipe benchmarks.yaml states. Tune another.")
    if objective == "honest" and bench.selection.experiment.setting == "random":
        raise OptionError(
            "The honest objective says nothing of the setting 'random': to a method that has seen neither, held-out "
            "samples of D_f are like those of D'_r. Give --objective oracle, or tune on another setting."
        )
    if objective == "honest":
        held = replace(bench.selection.experiment, held_out=HELD_OUT)
        bench = replace(bench, selection=replace(bench.selection, experiment=held))
    search = _Search(bench, entry, machinery, objective)
    if trials is None:
        name = grid or "paper"
        done, title = search.carry_out(search.settings_of(name)), f"grid {name}"
    else:
        done, title = search.sample(trials), f"Optuna's TPE over the declared ranges, {trials} trials"
    if not any(trial.shares for trial in done):
        raise TuningError(f"No setting of {method} ended; see: unlearn-bench runs --method {method}")
    ranked, repeats = search.steady(done, disturbances)
    runs = [run for trial in (*ranked, *repeats) for run in trial.runs]
    return search.summary(ranked, runs, title), ranked


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


@dataclass(frozen=True)
class _Search:
    bench: Bench
    method: Method
    machinery: Machinery
    objective: Objective

    def settings_of(self, name: str) -> list[Options]:
        """Returns the settings of a grid for the method, checked."""
        from sklearn.model_selection import ParameterGrid

        grids = self.bench.benchmarks.grid(name)
        known = {option.name for option in describe(self.method.function)}
        given = grids.get(self.method.name, grids.get("*", {}))
        settings: list[Options] = [dict(setting) for setting in ParameterGrid(given)] if given else []
        if not settings or (self.method.name not in grids and not set(settings[0]) <= known):
            tuned = ", ".join(option.name for option in describe(self.method.function) if option.search) or "none"
            raise OptionError(
                f"The grid '{name}' has nothing for the method '{self.method.name}'. Add it under `grids` in "
                f"benchmarks.yaml, or give --trials to search its declared ranges ({tuned})."
            )
        for setting in settings:
            complete(self.method.function, setting, f"method '{self.method.name}'")
        return settings

    def carry_out(self, settings: Sequence[Options]) -> list[Trial]:
        """Makes the runs of these settings that are missing, and returns the trials in their order."""
        rows = [self._row(setting) for setting in settings]
        references = [Row(method=ORIGINAL), *([Row(method="retrained")] if self.objective == "oracle" else [])]
        outcome = self.bench.carry_out([*references, *rows], self.machinery)
        recorded = self.bench.recorded(outcome.runs)  # those of this plan: of this code, these images
        forgets = self.bench.as_recorded(self.bench.selection).configurations
        found = {(run.method, _frozen(run.options), run.forget, run.seed): run for run in recorded}

        def runs(row: Row) -> list[RunRecord]:
            options = _frozen(resolve(self.bench.selection, row))
            return [found[row.method, options, forget, seed] for forget, seed in forgets]

        compared = runs(references[-1])
        judge: Callable[..., Trial] = _honest if self.objective == "honest" else _oracle
        return [judge(setting, runs(row), compared) for setting, row in zip(settings, rows, strict=True)]

    def steady(self, done: Sequence[Trial], disturbances: int) -> tuple[list[Trial], list[Trial]]:
        """Returns the trials in order, the first usable from disturbed start weights too, and what was tried for it."""
        found, repeats = list(done), list[Trial]()
        while True:
            ranked = in_order(found)
            chosen = ranked[0]
            if not chosen.usable:
                return ranked, repeats
            again = [self._disturbed(number).carry_out([chosen.options])[0] for number in range(1, disturbances + 1)]
            repeats += again
            if all(trial.usable for trial in again):
                return ranked, repeats
            found[found.index(chosen)] = replace(chosen, usable=False, steady=False)

    def _disturbed(self, number: int) -> _Search:
        selection = self.bench.selection
        experiment = replace(selection.experiment, disturbance=number)
        return replace(self, bench=replace(self.bench, selection=replace(selection, experiment=experiment)))

    def sample(self, trials: int) -> list[Trial]:
        """Returns as many trials as asked for, proposed by Optuna's TPE sampler, the same every time."""
        try:
            import optuna
        except ModuleNotFoundError:
            raise OptionError(
                "--trials needs Optuna, which is not installed. Install it with: pip install 'unlearn-bench[tune]'"
            ) from None
        ranges = {option.name: option for option in describe(self.method.function) if option.search}
        if not ranges:
            raise OptionError(
                f"The method '{self.method.name}' declares no range. Mark options with Search, or give --grid."
            )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=0, constant_liar=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        done: list[Trial] = []
        while len(done) < trials:
            asked = [study.ask() for _ in range(min(ASKED_AT_ONCE, trials - len(done)))]
            settings = [{name: _suggest(trial, option) for name, option in ranges.items()} for trial in asked]
            made = self.carry_out(settings)
            for trial, result in zip(asked, made, strict=True):
                study.tell(trial, result.gain if result.usable else result.gain - 1)  # damage is worse than nothing
            done += made
        return done

    def summary(self, ranked: Sequence[Trial], runs: Sequence[RunRecord], title: str) -> Tuned:
        """Returns the first trial's options with the cost of all runs."""
        selection, best = self.bench.selection, ranked[0]
        options = resolve(selection, self._row(best.options))
        spent = [run.model for run in runs if run.model]
        return Tuned(
            options=changed(self.method.function, options, {}),
            objective=self.objective,
            search=title,
            profile=selection.profile,
            dataset=selection.experiment.dataset,
            setting=selection.experiment.setting,
            forget=list(selection.forget),
            seeds=list(selection.seeds),
            score=round(best.score, 6),
            settings=len(ranked),
            runs=len(runs),
            method_seconds=round(sum(model.method_seconds for model in spent), 2),
            evaluation_seconds=round(sum(run.evaluation_seconds for run in runs), 2),
            forward_images=sum(model.forward_images for model in spent),
            backward_images=sum(model.backward_images for model in spent),
        )

    def _row(self, setting: Mapping[str, Any]) -> Row:
        return Row(method=self.method.name, options=dict(setting))


def _suggest(trial: Any, option: Option) -> Scalar:
    assert option.search is not None  # the caller chose those that have one
    low, high, log = option.search.low, option.search.high, option.search.log
    if isinstance(option.default, int):
        return int(trial.suggest_int(option.name, int(low), int(high), log=log))
    return float(trial.suggest_float(option.name, low, high, log=log))


def _honest(setting: Options, runs: Sequence[RunRecord], originals: Sequence[RunRecord]) -> Trial:
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


def _oracle(setting: Options, runs: Sequence[RunRecord], retrained: Sequence[RunRecord]) -> Trial:
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


def _frozen(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(options.items()))


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
