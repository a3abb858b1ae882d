"""Searches the options of a method. Every trial is a recorded run, so an interrupted search continues where it stopped.

The objective ``honest`` uses only D_f and D'_r. It holds out a fifth of each and gives the method the rest. The score
is the mean of four shares, measured on the held-out images:

    retain     accuracy on D'_r: other classes are not damaged
    forgotten  1 − accuracy on D_f: the model no longer predicts the class
    da         DA of D_f against the rest of D'_r: the forgotten samples lie in the subspace of the retained ones
    mixed      1 − NMI of clusters and membership, D_f among D'_r: the forgotten samples form no separate cluster

A cheat that changes only the last layer passes the first two shares. The other two therefore read the features, with
the two measures that the paper uses. A trial that loses more than five points of accuracy on D'_r against the original
model has damaged it, and ranks after all others.

Trials are ranked by their gain: the mean over the configurations of the score minus the original model's score, minus
one standard error of that mean. The standard error penalises a trial that forgets one class and not the other four: its
result depends on rounding, which differs between machines. Among the trials whose gain is close to the greatest, the
search chooses the cheapest one, then the first of the grid, because grids list mild values first. It is then repeated
on all of D_f and D'_r, as a table runs the method, and judged on these images: if it diverges or loses more than the
five points there, the search rejects it and takes the next one. For a subclass, the
share ``forgotten`` is left out, because a retrained model also still predicts the class that contains the subclass. For
random samples there is no honest objective.

The objective ``oracle`` is one minus the mean gap to the retrained model over all metrics. It reads test images and
retrained models, which are not available in practice.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unlearn_bench.config.benchmarks import Row, Scalar
from unlearn_bench.config.tuned import Objective, Tuned
from unlearn_bench.core.errors import OptionError, TuningError
from unlearn_bench.core.options import Option, changed, complete, describe
from unlearn_bench.data.scenarios import scenarios
from unlearn_bench.methods import Method, methods
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.running.plan import ORIGINAL, resolve
from unlearn_bench.running.trials import Options, Trial, honest, in_order, oracle
from unlearn_bench.store.records import RunRecord

HELD_OUT = 0.2  # share of D_f and of D'_r
BATCH_OF_TRIALS = 4  # trials that the sampler proposes before it gets a result: enough for a few processes


def tune(
    bench: Bench,
    method: str,
    execution: ExecutionConfig,
    *,
    objective: Objective = "honest",
    grid: str | None = None,
    trials: int | None = None,
    disturbances: int = 0,
) -> tuple[Tuned, list[Trial]]:
    """Returns the chosen options of a method, and all trials, the best first.

    :func:`unlearn_bench.running.trials.in_order` defines the order of the trials. With the honest objective, the chosen
    trial is repeated on all of D_f and D'_r, as a table runs it. With ``disturbances``, it is also repeated that often
    from start weights with a relative disturbance of 1e-6, which is about the effect of another processor's rounding.
    If a repeat is not usable, the trial is rejected, and the next one is tried.

    Args:
        bench: the configurations to search on.
        method: name of the method, which must not be a reference.
        execution: where and how runs are made.
        objective: ``honest`` or ``oracle``.
        grid: a grid of benchmarks.yaml; None for ``paper``.
        trials: instead of a grid, the number of trials that Optuna proposes within the declared ranges of the options.
        disturbances: number of repeats of the chosen trial, at least 0.

    Raises:
        UserError: a name or option does not exist, the grid has no values for the method, or every trial failed or
            diverged.
    """
    entry = methods.get(method)
    if entry.from_scratch:
        raise OptionError(f"The method '{method}' is a reference: benchmarks.yaml has its recipe. Tune another method.")
    scenario = scenarios.get(bench.selection.experiment.scenario)
    if objective == "honest" and scenario.untunable:
        raise OptionError(
            f"The honest objective cannot judge the scenario '{scenario.name}': {scenario.untunable}. Give "
            "--objective oracle, or tune on another scenario."
        )
    if objective == "honest":
        held = replace(bench.selection.experiment, held_out=HELD_OUT)
        bench = replace(bench, selection=replace(bench.selection, experiment=held))
    search = _Search(bench, entry, execution, objective)
    if trials is None:
        name = grid or "paper"
        done, title = search.make_trials(search.options_of(name)), f"grid {name}"
    else:
        done, title = search.sample(trials), f"Optuna's TPE over the declared ranges, {trials} trials"
    if not any(trial.shares for trial in done):
        raise TuningError(
            f"Every trial of {method} failed or diverged. See the reasons with: unlearn-bench runs --method {method}"
        )
    ranked, repeats = search.confirmed(done, disturbances)
    runs = [run for trial in (*ranked, *repeats) for run in trial.runs]
    return search.summary(ranked, runs, title), ranked


@dataclass(frozen=True)
class _Search:
    bench: Bench
    method: Method
    execution: ExecutionConfig
    objective: Objective

    def options_of(self, name: str) -> list[Options]:
        """Returns the combinations of options of a grid, after checking their names and values."""
        from sklearn.model_selection import ParameterGrid

        grids = self.bench.benchmarks.grid(name)
        own_options = {option.name for option in describe(self.method.function)}
        values = grids.get(self.method.name, grids.get("*", {}))
        combinations: list[Options] = [dict(options) for options in ParameterGrid(values)] if values else []
        if not combinations or (self.method.name not in grids and not set(combinations[0]) <= own_options):
            tuned = ", ".join(option.name for option in describe(self.method.function) if option.search) or "none"
            raise OptionError(
                f"The grid '{name}' has no values for the method '{self.method.name}'. Add them under `grids` in "
                f"benchmarks.yaml, or give --trials to search its declared ranges ({tuned})."
            )
        for options in combinations:
            complete(self.method.function, options, f"method '{self.method.name}'")
        return combinations

    def make_trials(self, combinations: Sequence[Options]) -> list[Trial]:
        """Makes the missing runs of these combinations, and returns their trials in the same order."""
        rows = [self._row(options) for options in combinations]
        references = [Row(method=ORIGINAL), *([Row(method="retrained")] if self.objective == "oracle" else [])]
        outcome = make_runs(self.bench, [*references, *rows], self.execution)
        recorded = self.bench.recorded(outcome.runs)  # only the runs of this plan: of this code and these images
        forgets = self.bench.as_recorded(self.bench.selection).configurations
        by_options = {(run.method, _frozen(run.options), run.forget, run.seed): run for run in recorded}

        def runs(row: Row) -> list[RunRecord]:
            options = _frozen(resolve(self.bench.selection, row))
            return [by_options[row.method, options, forget, seed] for forget, seed in forgets]

        compared = runs(references[-1])
        judge: Callable[..., Trial] = honest if self.objective == "honest" else oracle
        return [judge(options, runs(row), compared) for options, row in zip(combinations, rows, strict=True)]

    def confirmed(self, done: Sequence[Trial], disturbances: int) -> tuple[list[Trial], list[Trial]]:
        """Returns the trials in order, the first of which is usable in every repeat too, and all repeats."""
        searches = [("from disturbed start weights", self._varied(disturbance=k + 1)) for k in range(disturbances)]
        if self.objective == "honest":  # a trial of the oracle already receives all images
            searches.insert(0, ("on all of D_f and D'_r", self._varied(held_out=0.0, rehearsal=True)))
        candidates, repeats = list(done), list[Trial]()
        while True:
            ranked = in_order(candidates)
            chosen = ranked[0]
            if not chosen.usable:
                return ranked, repeats
            rejected = ""
            for where, search in searches:
                repeats += search.make_trials([chosen.options])
                if not repeats[-1].usable:
                    rejected = where
                    break
            if not rejected:
                return ranked, repeats
            candidates[candidates.index(chosen)] = replace(chosen, usable=False, rejected=rejected)

    def _varied(self, **settings: Any) -> _Search:
        selection = self.bench.selection
        experiment = replace(selection.experiment, **settings)
        return replace(self, bench=replace(self.bench, selection=replace(selection, experiment=experiment)))

    def sample(self, trials: int) -> list[Trial]:
        """Returns ``trials`` trials, proposed by Optuna's TPE sampler with a fixed seed."""
        try:
            import optuna
        except ModuleNotFoundError:
            raise OptionError(
                "--trials needs Optuna, which is not installed. Install it with: pip install 'unlearn-bench[tune]'"
            ) from None
        ranges = {option.name: option for option in describe(self.method.function) if option.search}
        if not ranges:
            raise OptionError(
                f"The method '{self.method.name}' declares no range. Mark an option with Search, or give --grid."
            )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=0, constant_liar=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        done: list[Trial] = []
        while len(done) < trials:
            proposed = [study.ask() for _ in range(min(BATCH_OF_TRIALS, trials - len(done)))]
            combinations = [{name: _suggest(trial, option) for name, option in ranges.items()} for trial in proposed]
            results = self.make_trials(combinations)
            for trial, result in zip(proposed, results, strict=True):
                study.tell(trial, result.gain if result.usable else result.gain - 1)  # damage ranks below no change
            done += results
        return done

    def summary(self, ranked: Sequence[Trial], runs: Sequence[RunRecord], title: str) -> Tuned:
        """Returns the options of the first trial, with the cost of all runs."""
        selection, best = self.bench.selection, ranked[0]
        versions = best.runs[0].versions
        options = resolve(selection, self._row(best.options))
        spent = [run.model for run in runs if run.model]
        return Tuned(
            options=changed(self.method.function, options, {}),
            objective=self.objective,
            search=title,
            profile=selection.profile,
            dataset=selection.experiment.dataset,
            scenario=selection.experiment.scenario,
            forget=list(selection.forget),
            seeds=list(selection.seeds),
            score=round(best.score, 6),
            trials=len(ranked),
            runs=len(runs),
            method_seconds=round(sum(model.method_seconds for model in spent), 2),
            evaluation_seconds=round(sum(run.evaluation_seconds for run in runs), 2),
            forward_images=sum(model.forward_images for model in spent),
            backward_images=sum(model.backward_images for model in spent),
            model=shlex.join(selection.model.words),
            versions="" if versions == "1" else versions,
        )

    def _row(self, options: Mapping[str, Any]) -> Row:
        return Row(method=self.method.name, options=dict(options))


def _suggest(trial: Any, option: Option) -> Scalar:
    assert option.search is not None  # the caller passes only options with a range
    low, high, log = option.search.low, option.search.high, option.search.log
    if isinstance(option.default, int):
        return int(trial.suggest_int(option.name, int(low), int(high), log=log))
    return float(trial.suggest_float(option.name, low, high, log=log))


def _frozen(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(options.items()))
