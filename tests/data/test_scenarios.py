"""What each scenario takes for the forget set, and runs of all of them end to end."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import DataError, OptionError
from unlearn_bench.core.forget_words import canonical_forget
from unlearn_bench.data import Dataset
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.data.scenarios.backdoor import stamped
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.intervals import backdoor_intervals, wilson
from unlearn_bench.report.listing import describe_run
from unlearn_bench.running.making import ExecutionConfig, make_runs


@pytest.fixture(scope="module")
def pairs() -> Dataset:
    return load("digit_pairs", folder=Path("nowhere"), train_per_class=48, test_per_class=16)


def test_a_subclass_is_forgotten_within_its_class(pairs: Dataset) -> None:
    split = split_dataset(pairs, "subclass", "3", {})
    assert set(split.train.fine[split.forget].tolist()) == {3}
    assert set(split.train.labels[split.forget].tolist()) == {1}
    assert int((split.train.fine == 3).sum()) == len(split.forget)
    assert set(pairs.test.fine[split.test_forget].tolist()) == {3}
    assert 3 not in pairs.test.fine[split.test_retain].tolist()
    assert (split.classes, split.name) == ((), "3")
    assert split_dataset(pairs, "subclass", "1, 2", {}).name == "1,2"


def test_random_subsets_are_fixed_disjoint_draws_of_their_size(digits: Dataset) -> None:
    one, again, other = (split_dataset(digits, "random", words, {}) for words in ("10%", " 10 % # 1", "10%#2"))
    assert one.digest == again.digest != other.digest
    assert (len(one.forget), len(split_dataset(digits, "random", "7", {}).forget)) == (24, 7)
    assert one.test_forget.all()
    assert one.test_retain.all()
    even = split_dataset(digits, "random", "10%", {"stratified": True})
    assert set(torch.bincount(digits.train.labels[even.forget]).tolist()) <= {2, 3}


def test_a_backdoor_poisons_other_classes_and_nothing_else(digits: Dataset) -> None:
    options = {"size": 2, "place": "bottom_right", "rate": 0.1}
    split = split_dataset(digits, "backdoor", "2", options)
    poisoned = torch.zeros(len(digits.train), dtype=torch.bool)
    poisoned[split.forget] = True
    assert len(split.forget) == 24
    assert set(split.train.labels[poisoned].tolist()) == {2}
    assert 2 not in digits.train.labels[poisoned].tolist()
    assert torch.equal(split.train.pixels[~poisoned], digits.train.pixels[~poisoned])
    assert torch.equal(split.train.labels[~poisoned], digits.train.labels[~poisoned])
    changed = (split.train.pixels != digits.train.pixels).any(dim=0)[0]
    assert not changed[:6].any()
    assert not changed[:, :6].any()
    assert int(split.train.pixels[poisoned][:, :, 6:, 6:].sum()) == 0
    assert torch.equal(split.triggered.labels, digits.test.labels)
    assert split_dataset(digits, "backdoor", "2", options).digest == split.digest
    assert split_dataset(digits, "backdoor", "3", options).digest != split.digest


@pytest.mark.parametrize(
    ("place", "rows", "columns"),
    [
        ("top_left", (0, 1), (0, 1)),
        ("top_right", (0, 1), (6, 7)),
        ("bottom_left", (6, 7), (0, 1)),
        ("center", (3, 4), (3, 4)),
    ],
)
def test_the_patch_lies_in_its_place(place: str, rows: tuple[int, ...], columns: tuple[int, ...]) -> None:
    marked = stamped(torch.full((1, 3, 8, 8), 9, dtype=torch.uint8), 2, place)
    black = {(r, c) for r in range(8) for c in range(8) if int(marked[0, :, r, c].sum()) == 0}
    assert black == {(r, c) for r in rows for c in columns}


BAD = {
    "no fine labels": ("digits", "subclass", "3", {}, "has no finer labels"),
    "no such subclass": ("pairs", "subclass", "lamp", {}, "Class 'lamp' is not in digit_pairs"),
    "a whole class": ("pairs", "subclass", "2,3", {}, "contains the whole class '2 or 3'"),
    "no amount": ("digits", "random", "some", {}, "is not a random subset"),
    "half an image": ("digits", "random", "2.5", {}, "is not a random subset"),
    "everything": ("digits", "random", "100%", {}, "is 240 of 240 images"),
    "two targets": ("digits", "backdoor", "1,2", {}, "names several targets"),
    "too large": ("digits", "backdoor", "1", {"size": 9}, "expected at most 8"),
    "place": ("digits", "backdoor", "1", {"place": "middle"}, "expected one of top_left or top_right"),
    "rate": ("digits", "backdoor", "1", {"rate": 0.001}, "poisons 0 of 216 images"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_forget_sets_are_one_sentence(name: str, digits: Dataset, pairs: Dataset) -> None:
    which, scenario, forget, options, sentence = BAD[name]
    with pytest.raises((DataError, OptionError), match=sentence.replace("(", r"\(")):
        split_dataset({"digits": digits, "pairs": pairs}[which], scenario, forget, options)


def test_one_spelling_of_every_forget_set() -> None:
    names, fine = ("cat", "dog"), ("lion", "lynx", "wolf")
    assert canonical_forget("dog, cat", "class", names, fine, "zoo") == "0,1"
    assert canonical_forget("2,lion", "subclass", names, fine, "zoo") == "lion,wolf"
    assert canonical_forget("5.0%", "random", names, fine, "zoo") == "5%#1"


@pytest.mark.parametrize(
    ("dataset", "scenario", "own"),
    [
        ("digit_pairs", "subclass", {"lp_subclass"}),
        ("digits", "backdoor", {"asr", "asr_all", "acc_triggered", "acc_clean"}),
        ("digits", "random", set()),
    ],
)
def test_every_setting_runs_with_its_metrics(
    dataset: str, scenario: str, own: set[str], bench: Bench, execution: ExecutionConfig
) -> None:
    here = Bench.choose(bench.benchmarks, bench.store, Choice(dataset=dataset, scenario=scenario))
    forget = here.selection.forget[0]
    here = replace(here, selection=replace(here.selection, forget=(forget,)))
    outcome = make_runs(here, [Row(method=name) for name in ("retrained", "ft", "muda", "fisher")], execution)
    assert set(outcome.made) == {"done"}
    for run in here.recorded(outcome.runs):
        assert own <= run.values.keys()
        assert run.scenario == scenario
    assert {"asr", "lp_subclass"} & run.values.keys() <= own


def test_the_original_is_shared_by_settings_but_for_a_backdoor(bench: Bench, execution: ExecutionConfig) -> None:
    """It knows nothing of the forget set, unless that is in the images."""
    keys = []
    for scenario, forget in (("class", "1"), ("random", "10%"), ("backdoor", "1"), ("backdoor", "2")):
        here = Bench.choose(bench.benchmarks, bench.store, Choice(scenario=scenario, forget=[forget]))
        make_runs(here, [Row(method="original")], execution)
        (run,) = here.store.runs(experiment_key=here.selection.experiment.key)[:1]
        keys.append(run.model.key)
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_bias_cheat_needs_a_class(bench: Bench, execution: ExecutionConfig) -> None:
    here = Bench.choose(bench.benchmarks, bench.store, Choice(scenario="random"))
    with pytest.raises(DataError, match="needs a forget set of whole classes"):
        make_runs(here, [Row(method="bias_cheat")], execution)


def test_a_backdoors_counts_make_its_metrics_and_wilsons_intervals(bench: Bench, execution: ExecutionConfig) -> None:
    here = Bench.choose(bench.benchmarks, bench.store, Choice(scenario="backdoor", forget=["2"]))
    make_runs(here, [Row(method="retrained")], execution)
    (run,) = here.store.runs(method="retrained")
    counts = here.store.predicted([run.key])[run.key]
    found = backdoor_intervals(counts, 2)
    for name in ("asr", "asr_all", "acc_triggered", "acc_clean"):
        hits, images = (int(word) for word in found[name].split()[:3:2])
        assert 100 * hits / images == pytest.approx(run.values[name])
    assert found["asr"] in describe_run(here.store.run(run.key), here.store.metrics(), counts)
    z, p, n = 1.959963984540054, 0.25, 40  # the closed form
    middle, half = (p + z * z / (2 * n)), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert wilson(10, 40) == pytest.approx([100 * (middle + side * half) / (1 + z * z / n) for side in (-1, 1)])
