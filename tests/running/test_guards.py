"""Methods are held to their word in real runs: what cheating plug-ins meet, and that honest methods meet nothing."""

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from support.benchmark import make_problem
from support.command import command

from unlearn_bench.checks.conformance import examine
from unlearn_bench.checks.conformance.test_bed import TestBed
from unlearn_bench.cli.catalogue import describe_entry
from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Choice, PlacedRow
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.methods import Method, UnlearningProblem, methods
from unlearn_bench.models import Classifier
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.notes import twins
from unlearn_bench.report.tables import build_table
from unlearn_bench.running.guards import Guard
from unlearn_bench.running.guards.weights import kept_of_redrawn, moved_outside
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.training.loop import cross_entropy, make_optimizer

# kept apart from the registry, which other tests walk
with methods.temporarily():
    from support import cheating_plugins

    CHEATS = {name: methods.get(name) for name in cheating_plugins.MEETS}
CHECKS = ("uses_what_it_is_given", "keeps_to_it_over_many_epochs", "keeps_to_it_on_many_images")
MANY = "1,3,5,7,9"  # 120 images of D_f and 120 of D'_r


@pytest.fixture(scope="module")
def scene() -> TestBed:
    torch.set_num_threads(1)
    return TestBed()


@pytest.fixture(autouse=True)
def _caches_are_empty() -> Iterator[None]:
    yield
    cheating_plugins.CACHE.clear()
    cheating_plugins.remembered.__defaults__[0].clear()


def chosen(bench: Bench, *forget: str) -> Bench:
    return Bench.choose(bench.benchmarks, bench.store, Choice(forget=forget))


def short(name: str) -> dict[str, int]:
    """Options that make a run short, in which a method still does all that it does."""
    epochs = {method: {"epochs": 4} for method in ("eu_k", "ft_classifier", "duck", "scar")}
    return {**epochs, "sfron": {"iterations": 60}, "jit": {"copies": 3}, "ntk": {"images": 10}}.get(name, {})


@pytest.mark.parametrize(("name", "meets"), cheating_plugins.MEETS.items(), ids=[*cheating_plugins.MEETS])
def test_check_method_finds_the_cheat(
    name: str, meets: tuple[str, str], scene: TestBed, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    found = {finding.check: finding for finding in examine(CHEATS[name], scene, CHECKS)}
    broken = [check for check, finding in found.items() if finding.verdict == "broken"]
    assert (broken[0] if broken else "") == meets[0], found


def test_every_check_of_what_is_given_has_its_cheat() -> None:
    assert {check for check, _ in cheating_plugins.MEETS.values() if check} == set(CHECKS)


@pytest.mark.parametrize(("name", "meets"), cheating_plugins.MEETS.items(), ids=[*cheating_plugins.MEETS])
def test_a_run_of_the_cheat_fails_with_its_reason(
    name: str,
    meets: tuple[str, str],
    bench: Bench,
    execution: ExecutionConfig,
    digits: Dataset,
    register: Callable[..., ExitStack],
) -> None:
    register(methods, CHEATS[name])
    make_runs(chosen(bench, MANY), [Row(method="retrained"), Row(method="original")], execution)
    if name == "caches_from_a_hundred_images_on":  # filled before: a run that fills it fails for that
        cheating_plugins.CACHE.append(digits.train)
    outcome = make_runs(chosen(bench, MANY), [Row(method=name)], execution)
    assert outcome.made == ("failed",)
    (run,) = bench.store.runs(method=name)
    assert meets[1] in (run.error or ""), run.error
    assert run.values == {}
    assert run.model is not None
    assert run.model.file is None, "nothing is kept that another run could start from"


def test_a_cache_fails_the_run_that_fills_it(
    bench: Bench, execution: ExecutionConfig, register: Callable[..., ExitStack]
) -> None:
    name = "caches_from_a_hundred_images_on"
    register(methods, CHEATS[name])
    assert make_runs(chosen(bench, MANY), [Row(method=name)], execution).made[-1] == "failed"
    assert bench.store.runs(method=name)[0].error.startswith("it keeps data for later runs: CACHE holds Tensor of ")


@pytest.mark.parametrize("noise", [0.0, 1e-6], ids=["a copy", "nearly a copy"])
def test_the_retrained_model_is_known_however_it_came(
    register: Callable[..., ExitStack],
    noise: float,
    bench: Bench,
    execution: ExecutionConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Taken along a way that no guard watches: a variable of another module."""
    own = chosen(bench, "1")
    make_runs(own, [Row(method="retrained")], execution)
    (recorded,) = bench.store.runs(method="retrained")
    file = bench.store.models_folder / recorded.model.file

    monkeypatch.setattr(torch, "stolen", load_file(file), raising=False)

    def stolen(problem: UnlearningProblem) -> Classifier:
        network = problem.copy_of_original()
        network.load_state_dict(torch.stolen)
        with torch.no_grad():
            network.head.weight += noise * torch.randn(network.head.weight.shape)
        return network

    register(methods, replace(methods.get("ft"), name="stolen", function=stolen))
    assert make_runs(own, [Row(method="stolen")], execution).made == ("done", "failed")
    (run,) = bench.store.runs(method="stolen")
    title = f"those of run {recorded.id} (retrained, forget 1, seed 0), which it is not given"
    assert run.error == f"its weights equal {title}" if not noise else run.error.endswith(f"to {title}")


def test_weights_of_another_run_are_named(
    bench: Bench, execution: ExecutionConfig, register: Callable[..., ExitStack]
) -> None:
    """A method that leaves the original as it is commits no fault, and is not silent either."""
    entry = replace(methods.get("ft"), name="still", function=lambda problem: problem.copy_of_original())
    register(methods, entry)
    own, row = chosen(bench, "1"), Row(method="still")
    assert make_runs(own, [Row(method="retrained"), row], execution).failures == 0
    (run,), (original,) = bench.store.runs(method="still"), bench.store.runs(method="original")
    said = f"still, forget 1, seed 0: the weights are equal to those of run {original.id} (original, forget 1, seed 0)."
    assert twins([run], bench.store) == [said]
    assert twins([original], bench.store) == [], "references name nobody"
    table = bench.benchmarks.table("3")
    assert said in build_table("3", table, [(PlacedRow(method="still"), own.selection)], bench.store).notes
    assert command("show", str(run.id)).stdout.count(said) == 1


def test_what_measures_a_traced_run_is_no_pass_of_the_method(bench: Bench, execution: ExecutionConfig) -> None:
    """Test images pass a copy of the network while the method runs, and it is not the method that passes them."""
    selection = chosen(bench, "1").selection
    traced = replace(selection, experiment=replace(selection.experiment, trace_every=2))
    assert make_runs(replace(bench, selection=traced), [Row(method="ft")], execution).failures == 0
    (run,) = bench.store.runs(method="ft")
    assert "acc_forget" in {name for _, name, _ in bench.store.run(str(run.id)).model.curves}


def test_no_registered_method_meets_a_guard(bench: Bench, execution: ExecutionConfig) -> None:
    """All of them, on 120 images of D_f and of D'_r."""
    rows = [Row(method=method.name, options=short(method.name)) for method in methods if not method.origin]
    outcome = make_runs(chosen(bench, MANY), rows, execution)
    assert not [run for run in bench.store.runs() if run.status != "done"]
    assert len(outcome.made) == len(rows)
    assert twins(bench.store.runs(), bench.store) == []


def test_a_method_may_declare_inputs_of_its_own_and_must_make_some(
    bench: Bench, execution: ExecutionConfig, register: Callable[..., ExitStack], scene: TestBed
) -> None:
    def perturbs(problem: UnlearningProblem) -> Classifier:
        """The original model finetuned on adversarial examples of D'_r."""
        network = problem.copy_of_original()

        def loss(network: Classifier, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            x = x.clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(cross_entropy(network, x, y), x)
            return cross_entropy(network, (x + 0.1 * slope.sign()).detach(), y)

        optimizer = make_optimizer("sgd", network.parameters(), lr=0.01)
        return problem.fit(network, problem.retain_batches(8), optimizer, epochs=1, loss=loss)

    entry = replace(methods.get("ft"), name="perturbs", label="FGSM", function=perturbs)
    register(methods, entry)
    own = chosen(bench, "1")
    assert make_runs(own, [Row(method="perturbs"), Row(method="retrained")], execution).made.count("failed") == 1
    assert "declare @method(makes_inputs=True)" in bench.store.runs(method="perturbs")[0].error
    declared = replace(entry, makes_inputs=True)
    register(methods, declared)
    assert make_runs(own, [Row(method="perturbs")], execution).made == ("done",)
    table = build_table("3", bench.benchmarks.table("3"), [(PlacedRow(method="perturbs"), own.selection)], bench.store)
    assert "FGSM generates its own inputs, so the images that it uses are not checked." in table.notes
    assert "It makes its own inputs" in describe_entry("perturbs", bench.benchmarks)
    (finding,) = examine(declared, scene, ["uses_what_it_is_given"])
    assert finding.verdict == "holds", finding
    (finding,) = examine(replace(methods.get("ft"), makes_inputs=True), scene, ["uses_what_it_is_given"])
    assert finding.verdict == "broken"


def test_weights_outside_the_parts_and_parts_that_stay(scene: TestBed) -> None:
    start = scene.batch_norm
    before = {name: value.clone() for name, value in start.state_dict().items()}
    network = copy.deepcopy(start)
    network.stem[1].running_mean += 1e-6
    assert moved_outside(("last_stage", "head"), network, before, network.state_dict()) == (
        "stem.1.running_mean changed; declared to change: last_stage, head"
    )
    assert not moved_outside((), network, before, network.state_dict())
    assert not moved_outside(("stem",), network, before, network.state_dict())
    kept = kept_of_redrawn(("last_stage", "head"), network, before, network.state_dict())
    assert kept == "last_stage is declared to be drawn anew, but has a cosine of 1.00 to the start model's weights"
    network.reinitialise(network.last_stage, 5)
    assert not kept_of_redrawn(("last_stage", "head"), network, before, network.state_dict())


def test_honest_habits_raise_no_alarm(digits: Dataset, split: ForgetSplit) -> None:
    """A traceback printed, a named tuple made, a file of its own written: none of it is a look at the benchmark."""
    import collections
    import traceback

    def habits(problem: UnlearningProblem) -> Classifier:
        try:
            raise ValueError
        except ValueError:
            traceback.format_exc()
        collections.namedtuple("Pair", "a b")
        return problem.copy_of_original()

    method = Method("habits", "Habits", "", habits, "D'_r")
    guard = Guard(method, make_problem(digits, split))
    with guard.watching():
        network = method.unlearn(guard.problem, {})
    assert guard.violations(network) == []
