"""Likeness to retrained: computed from recorded models alone, recorded once, and shown beside its noise level."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from weakref import WeakSet

import pytest
import torch
from safetensors.torch import load_file
from support.benchmark import SMALL
from support.invocation import invoke

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import DataError, MissingRunError, UnmeasurableError
from unlearn_bench.core.progress import silent
from unlearn_bench.core.registry import without_plugin_files
from unlearn_bench.data import Dataset
from unlearn_bench.metrics.comparisons import Comparison, comparisons
from unlearn_bench.models.outputs import ModelOutputs
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.classes import shares
from unlearn_bench.report.likeness import OTHER_SEED, describe_likeness
from unlearn_bench.running import likeness
from unlearn_bench.running.likeness import compare
from unlearn_bench.running.making import ExecutionConfig, make_runs, reproduce
from unlearn_bench.store import Store
from unlearn_bench.store.likeness import comparison_records, likeness_of

Register = Callable[..., ExitStack]
BOTH = Choice(forget=("1",), seeds=(0, 1))


def bench_of(folder: Path, choice: Choice = BOTH) -> Bench:
    store = Store(f"sqlite:///{folder / 'results' / 'runs.sqlite'}")
    return Bench.choose(load_config(folder / "benchmarks.yaml"), store, choice)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with original, retrained and FT of two seeds."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "benchmarks.yaml").write_text(SMALL)
    bench = bench_of(folder)
    torch.set_num_threads(1)
    execution = ExecutionConfig(None, False, "cpu", 1, silent, lambda _line: None)
    make_runs(bench, [Row(method="retrained"), Row(method="ft")], execution)
    bench.store.close()
    return folder


@pytest.fixture
def recorded(home: Path, made: Path) -> Bench:
    shutil.copytree(made / "results", home / "results")
    return bench_of(home)


def values(bench: Bench) -> dict[tuple[str, int, str, int], dict[str, float | None]]:
    """Recorded values by method and seed of both runs."""
    named = {run.key: (run.method, run.seed) for run in bench.store.runs()}
    return {(*named[a], *named[b]): own for (a, b), own in likeness_of(bench.store, list(named)).items()}


def view(bench: Bench) -> tuple[list[str], list[list[str]], list[str]]:
    return describe_likeness("3", bench.placed(bench.benchmarks.table("3")), bench.store)


def test_every_recorded_model_is_compared_once_and_nothing_is_trained(
    recorded: Bench, execution: ExecutionConfig
) -> None:
    before = {run.key: run for run in recorded.store.runs()}
    with pytest.raises(
        MissingRunError, match=r"recorded for table 3\. Compute it with: unlearn-bench compare --table 3"
    ):
        view(recorded)
    done = compare(recorded, "3", execution)
    assert (done.pairs, done.made, done.missing, done.lost) == (6, 6, 0, ())
    found = values(recorded)
    assert found.keys() == {
        *((method, seed, "retrained", seed) for method in ("original", "ft") for seed in (0, 1)),
        ("retrained", 1, "retrained", 0),
        ("retrained", 0, "retrained", 1),
    }
    assert all(own.keys() == set(comparisons.names()) for own in found.values())
    assert compare(recorded, "3", execution).made == 0
    assert {run.key: run for run in recorded.store.runs()} == before
    # the same numbers on another way: counts of predictions, and accuracies, which the runs recorded
    counts = recorded.store.predicted(list(before))
    by_name = {(run.method, run.seed): run for run in before.values()}
    for (method, seed, _, other), own in found.items():
        run, reference = by_name[method, seed], by_name["retrained", other]
        a, b = (shares(counts[each.key]["forget"]) for each in (run, reference))
        assert own["tv_predictions"] == pytest.approx(sum(abs(a.get(k, 0) - b.get(k, 0)) for k in range(10)) / 2)
        gap = abs(run.values["acc_retain"] - reference.values["acc_retain"]) / 100
        assert own["tow"] is not None
        assert own["tow"] <= 1 - gap + 1e-12
    logits = [load_file(recorded.store.outputs_folder / by_name[name, 0].outputs.file) for name in ("ft", "retrained")]  # type: ignore[union-attr]
    is_forget = logits[0]["train.labels"] == 1
    p, q = (each["train.logits"][is_forget].double().softmax(1) for each in logits)
    expected = float((p - q).square().sum(1).sqrt().mean())
    assert found["ft", 0, "retrained", 0]["activation_distance"] == pytest.approx(expected)


def test_a_table_shows_means_beside_the_original_and_another_seed(recorded: Bench, execution: ExecutionConfig) -> None:
    compare(recorded, "3", execution)
    header, body, notes = view(recorded)
    assert header[0] == "Method"
    assert "CKA(D_f) → 1" in header
    assert "Agreement(D_f) % → 100" in header
    assert [row[0] for row in body] == ["Original", OTHER_SEED, "FT", "muda"]
    own, column = values(recorded), header.index("AD(D_f) → 0")
    mean = sum(own["ft", seed, "retrained", seed]["activation_distance"] or 0 for seed in (0, 1)) / 2
    assert body[2][column].startswith(f"{mean:.3f}±")
    assert body[3][1:] == ["– 0/2"] * len(comparisons.names())
    assert any("2 runs are missing" in note for note in notes)
    one = bench_of(recorded.benchmarks.home, replace(BOTH, seeds=(0,)))
    assert "±" not in view(one)[1][2][column]
    assert view(one)[1][1][column] == f"{own['retrained', 1, 'retrained', 0]['activation_distance']:.3f}"


def test_outputs_that_were_deleted_are_computed_from_the_checkpoint(
    recorded: Bench, execution: ExecutionConfig, made: Path
) -> None:
    compare(recorded, "3", execution)
    expected = values(recorded)
    recorded.store.close()
    shutil.rmtree(recorded.benchmarks.home / "results")
    shutil.copytree(made / "results", recorded.benchmarks.home / "results")
    again = bench_of(recorded.benchmarks.home)
    shutil.rmtree(again.store.outputs_folder)
    assert compare(again, "3", execution).made == 6
    for pair, own in values(again).items():
        assert own == pytest.approx(expected[pair], abs=1e-5)
    assert not again.store.outputs_folder.exists()


def test_a_lost_model_is_a_sentence_and_the_others_are_compared(recorded: Bench, execution: ExecutionConfig) -> None:
    (run,) = [run for run in recorded.store.runs(method="ft") if run.seed == 1]
    assert run.model
    assert run.model.file
    assert run.outputs
    (recorded.store.models_folder / run.model.file).unlink()
    (recorded.store.outputs_folder / run.outputs.file).unlink()
    done = compare(recorded, "3", execution)
    assert (done.made, done.missing) == (5, 1)
    (sentence,) = done.lost
    assert sentence == (
        f"The outputs and the weights of run {run.id} (ft, forget 1, seed 1) no longer exist. Make it again with: "
        "unlearn-bench reproduce --table 3 --outputs --profile tiny --forget 1 --seed 0 --seed 1"
    )
    assert "10 values are not computed yet" in " ".join(view(recorded)[2])
    assert any(row[0] == "FT" and row[1].endswith(" 1/2") for row in view(recorded)[1])
    entry = recorded.benchmarks.table("3").model_copy(update={"rows": ["ft"]})
    outcome = reproduce(recorded, [entry], execution, with_outputs=True)
    assert outcome.made == ("done",)
    assert compare(recorded, "3", execution).missing == 0


def test_without_a_retrained_model_or_with_other_images_nothing_is_compared(
    trained: Bench,
    execution: ExecutionConfig,
    recorded_elsewhere: Bench,
    monkeypatch: pytest.MonkeyPatch,
    digits: Dataset,
) -> None:
    with pytest.raises(MissingRunError, match=r"No retrained run on digits, class 1, seed 0.* unlearn-bench train"):
        compare(trained, "3", execution)
    monkeypatch.setattr(likeness, "images_of", lambda *_: replace(digits, digest="0" * 64))
    with pytest.raises(DataError, match=r"The images of digits, forget 1, are not those of run \d+ \(retrained"):
        compare(recorded_elsewhere, "3", execution)
    assert values(recorded_elsewhere) == {}


@pytest.fixture
def recorded_elsewhere(made: Path, tmp_path: Path) -> Bench:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "benchmarks.yaml").write_text(SMALL)
    shutil.copytree(made / "results", folder / "results")
    return bench_of(folder)


def score(function: Callable[[ModelOutputs, ModelOutputs], float], name: str = "own", version: int = 1) -> Comparison:
    """A score that counts as built-in, so that it gets no copies of the outputs."""
    function.__module__ = "unlearn_bench.own"
    return replace(comparisons.get("tow"), name=name, function=function, version=version)


def test_at_most_two_models_are_in_memory(recorded: Bench, execution: ExecutionConfig, register: Register) -> None:
    alive, most = WeakSet[ModelOutputs](), []

    def count(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
        alive.update((outputs, retrained))
        most.append(len(alive))
        return 1.0

    register(comparisons, score(count))
    compare(recorded, "3", execution)
    assert set(most) == {2}


def test_scores_of_another_version_are_computed_again_and_those_without_a_value_are_named(
    recorded: Bench, execution: ExecutionConfig, register: Register
) -> None:
    def none(_outputs: ModelOutputs, _retrained: ModelOutputs) -> float:
        raise UnmeasurableError("these models have none")

    register(comparisons, score(lambda _o, _r: 0.25))
    compare(recorded, "3", execution)
    assert {own["own"] for own in values(recorded).values()} == {0.25}
    register(comparisons, score(none, version=2))
    assert compare(recorded, "3", execution).made == 6
    assert {own["own"] for own in values(recorded).values()} == {None}
    assert comparison_records(recorded.store)["own"].version == "2"
    header, body, notes = view(recorded)
    assert body[0][header.index("ToW → 1")] == "– 0/2", "the score of the plug-in comes first in this order"
    assert any("6 values do not exist" in note and "(own)" in note for note in notes)
    assert compare(recorded, "3", execution).made == 0


def test_a_score_of_a_plugin_works_on_the_command_line_and_fails_with_a_sentence(recorded: Bench, home: Path) -> None:
    own, broken, choice = home / "closeness.py", home / "broken.py", ("--table", "3", "--forget", "1", "--seed", "0")
    own.write_text(
        "from unlearn_bench.metrics.comparisons import comparison\n\n\n"
        '@comparison(label="Close", bounds=(0, 1), best=1, source="here", shows="A.", hides="B.")\n'
        "def closeness(outputs, retrained):\n"
        '    """One over one plus the distance of the features."""\n'
        "    outputs.forget.features.zero_()\n"
        "    return float(1 / (1 + retrained.forget.features.norm()))\n"
    )
    broken.write_text(own.read_text().replace("closeness", "broken").replace("norm()", "nrm()"))
    with without_plugin_files():
        listed = invoke("list", "metrics", "--plugin", str(own))
        assert "by compare, with retrained" in listed
        assert "Plug-in: closeness, from closeness.py." in listed
        explained = invoke("explain", "closeness", "--plugin", str(own))
        assert "From 0 to 1; equal models: 1. Compared with retrained, from the logits of both models" in explained
        printed = invoke("compare", *choice, "--plugin", str(own))
        assert "Close → 1" in printed
    assert invoke("report", *choice, "--likeness") in printed, "the record is enough"
    assert values(recorded)["ft", 0, "retrained", 0]["cka_forget"] != 0, "the plug-in changed its own copy"
    sentence = r"The score broken of broken\.py fails: AttributeError: .*nrm.*\. Correct it"
    with without_plugin_files(), pytest.raises(AssertionError, match=sentence):
        invoke("compare", *choice, "--plugin", str(broken))
