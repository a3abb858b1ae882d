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
this rule. Of the settings whose gain is near the greatest, the cheapest is chosen, then the first of the grid: grids
list mild values first. Of a subclass the share ``forgotten`` is left out: the model goes on to name the class around
it, as the retrained model does. Of random samples nothing can be said honestly.

The objective ``oracle`` is one minus the mean gap to the retrained model over all metrics: it reads test images and
retrained models, which who unlearns does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unlearn_bench.bench import Bench, Machinery
from unlearn_bench.config import Row, Scalar
from unlearn_bench.errors import OptionError, TuningError
from unlearn_bench.methods import Method, methods
from unlearn_bench.options import Option, changed, complete, describe
from unlearn_bench.plan import ORIGINAL, resolve
from unlearn_bench.store.records import RunRecord
from unlearn_bench.trials import Options, Trial, honest, in_order, oracle
from unlearn_bench.tuned import Objective, Tuned

HELD_OUT = 0.2
ASKED_AT_ONCE = 4  # settings that the sampler proposes before it hears of the first: enough for a few processes


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

    How the trials are ordered: see :func:`unlearn_bench.trials.in_order`. With ``disturbances`` the chosen setting is
    tried again as often, from start weights disturbed by a relative 1e-6, as another processor's rounding would; one
    that damages there is not steady, and the next is tried.

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
        judge: Callable[..., Trial] = honest if self.objective == "honest" else oracle
        return [judge(setting, runs(row), compared) for setting, row in zip(settings, rows, strict=True)]

    def steady(self, done: Sequence[Trial], disturbances: int) -> tuple[list[Trial], list[Trial]]:
        """Returns the trials in order, the first usable from disturbed start weights too, and what was tried for it."""
        found, repeats = list(done), list[Trial]()
        while True:
            ranked = in_order(found)
            chosen = ranked[0]
            if not chosen.usable:
                return ranked, repeats
            for number in range(1, disturbances + 1):
                repeats += self._disturbed(number).carry_out([chosen.options])
                if not repeats[-1].usable:
                    break  # one is enough to pass it over
            else:
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


def _frozen(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(options.items()))
