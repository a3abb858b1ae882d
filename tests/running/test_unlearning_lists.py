"""unlearn of listed images, and with images of the user's in the place of the retain set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.photos import photo, photos
from torch import nn

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import DataError
from unlearn_bench.core.sources import AS_IT_IS
from unlearn_bench.data import Dataset, ForgetSplit, Images, loading
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.retain import with_retain
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.metrics.membership import attack, confidence, mia
from unlearn_bench.models import build
from unlearn_bench.models.outputs import ModelOutputs, arrange, predict_all
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.listing import describe_run
from unlearn_bench.running import making, runner
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.running.recorded_models import network_of
from unlearn_bench.running.tasks import MethodData, Task, method_data
from unlearn_bench.running.unlearning import OwnModel, Unlearned, unlearn
from unlearn_bench.store import Store

NET = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 10, 3))
"""
SPLITS = tuple(f"{split}/{name}" for split in ("train", "test") for name in ("cat", "dog", "emu"))


@pytest.fixture
def own(home: Path) -> OwnModel:
    """Photos with a test split, other photos of the same classes, a network and its weights, in the working folder."""
    photos(home / "photos", *SPLITS, count=6)
    for number, name in enumerate(("cat", "dog")):
        for k in range(5):
            photo(home / "others" / name / f"{k}.png", 7000 + 100 * number + k)
    (home / "net.py").write_text(NET)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 10, 3))
    torch.save(network.state_dict(), home / "mine.pt")
    (home / "wrong.txt").write_text("train/cat/0.png\ntrain/cat/3.png\ntrain/dog/1.png\n")
    return OwnModel(file=home / "mine.pt", architecture="net.py:make", arguments={})


def run(own: OwnModel, execution: ExecutionConfig, forget: str = "wrong.txt", **more: Any) -> tuple[Unlearned, Store]:
    store = Store("sqlite:///runs.sqlite")
    scenario = more.pop("scenario", "list")
    choice = Choice(dataset="folder:photos", scenario=scenario, forget=(forget,))
    arguments: dict[str, Any] = {"method": "neggrad_ft", "options": {"epochs": 2}, **more}
    return unlearn(own, load_config(), store, choice, execution, **arguments), store


def test_a_list_is_forgotten_recorded_and_measured_on_its_own_images(
    own: OwnModel, home: Path, execution: ExecutionConfig
) -> None:
    result, store = run(own, execution)
    assert (result.unlearned.scenario, result.unlearned.forget[:9]) == ("list", "3-images-")
    assert "lp_forget" not in result.unlearned.values
    assert {"acc_forget", "acc_retain", "da", "f1", "nmi", "mia", "lp_retain"} <= result.unlearned.values.keys()
    assert f"list {result.unlearned.forget}" in describe_run(result.unlearned, store.metrics())
    data = loading.load("folder:photos", folder=home)
    split = split_dataset(data, "list", "wrong.txt", {})
    network = network_of(result.unlearned, store)
    with torch.no_grad():
        x = data.train.pixels[split.forget].float() / 255
        mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in network.statistics(data.mean, data.std))
        right = network((x - mean) / std).argmax(dim=1) == data.train.labels[split.forget]
    assert result.unlearned.values["acc_forget"] == pytest.approx(100 * float(right.double().mean()))
    Path("again.txt").write_text("train/dog/1.png\ntrain/cat/3.png\ntrain/cat/0.png\n# the same")
    same, _ = run(own, execution, "again.txt")
    assert same.unlearned.id == result.unlearned.id
    Path("wrong.txt").write_text("train/cat/0.png\n")
    other, _ = run(own, execution)
    assert other.unlearned.key != result.unlearned.key


def test_no_test_image_stands_for_listed_ones(own: OwnModel, home: Path) -> None:
    data = loading.load("folder:photos", folder=home)
    outputs = _outputs(data, split_dataset(data, "list", "wrong.txt", {}))
    assert torch.equal(outputs.test_forget.logits, outputs.forget.logits)
    assert (len(outputs.forget), len(outputs.test_retain)) == (3, len(data.test))


def _outputs(data: Dataset, split: ForgetSplit) -> ModelOutputs:
    network = build({"name": "resnet18", "width": 4, "groups": 2}, channels=3, classes=3, seed=1)
    return arrange(predict_all(network, data.test, split, Normalise(data.mean, data.std)), split)


def test_the_attack_never_takes_listed_images_for_unseen_ones(own: OwnModel, home: Path) -> None:
    data = loading.load("folder:photos", folder=home)
    outputs = _outputs(data, split_dataset(data, "list", "wrong.txt", {}))
    slope, level, mean, std = attack(confidence(outputs.retain), confidence(outputs.test_retain))
    members = slope * ((confidence(outputs.forget) - mean) / std) + level > 0
    assert mia(outputs) == pytest.approx(float(members.mean()))


def test_the_images_are_read_once(own: OwnModel, execution: ExecutionConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    load = making.load
    monkeypatch.setattr(making, "load", lambda name, **more: reads.append(name) or load(name, **more))
    run(own, execution)
    assert reads == ["folder:photos"]


@pytest.fixture
def retained(monkeypatch: pytest.MonkeyPatch) -> list[Images]:
    """D'_r of every method that is run."""
    seen: list[Images] = []

    def noted(task: Task, split: ForgetSplit) -> MethodData:
        data = method_data(task, split)
        if task.spec.method != "original":
            seen.append(data.retain)
            assert len(data.forget) == len(split.forget)
            assert set(data.forget.digests) == set(split.train[split.forget].digests)
        return data

    monkeypatch.setattr(runner, "method_data", noted)
    return seen


def test_the_method_retains_the_users_other_images(
    own: OwnModel, home: Path, execution: ExecutionConfig, retained: list[Images]
) -> None:
    other = loading.load("folder:others", folder=home)
    known = {*other.train.digests, *other.test.digests}
    without, store = run(own, execution)
    result, _ = run(own, execution, retain="others")
    assert [len(images) for images in retained] == [3, 3]
    assert not known & set(retained[0].digests)
    assert set(retained[1].digests) <= known, "of both splits, because the folder has no test split of its own"
    assert result.unlearned.key != without.unlearned.key
    assert "drawn from other images, content" in describe_run(result.unlearned, store.metrics())
    assert result.unlearned.spec["experiment"]["retain"] and "retain" not in without.unlearned.spec["experiment"]
    assert result.original.model and without.original.model
    assert run(own, execution, retain="folder:others")[0].unlearned.id == result.unlearned.id


def test_metrics_stay_on_the_data_sets_own_images(own: OwnModel, execution: ExecutionConfig) -> None:
    one, other = (run(own, execution, retain=retain)[0] for retain in (None, "others"))
    assert one.original.values == other.original.values


def refused(own: OwnModel, execution: ExecutionConfig, sentence: str, **more: Any) -> None:
    with pytest.raises(DataError, match=sentence):
        run(own, execution, **more)
    assert not Store("sqlite:///runs.sqlite").runs()


def test_images_that_cannot_be_retained_are_one_sentence(own: OwnModel, home: Path, execution: ExecutionConfig) -> None:
    for number, name in enumerate(("cat", "cow")):
        for k in range(5):
            photo(home / "cows" / name / f"{k}.png", 8000 + 100 * number + k)
    refused(own, execution, "have the classes cow, which folder:photos does not have", retain="cows")
    photos(home / "small", "cat", "dog", count=5, width=9, height=9)
    refused(own, execution, "are 3×9×9 .* and those of folder:photos are 3×10×12", retain="small")
    refused(
        own,
        execution,
        "5 images of --retain are of the class to forget, cat",
        retain="others",
        scenario="class",
        forget="cat",
    )
    refused(own, execution, "3 of 18 images of --retain are also in the forget set", retain="folder:photos")
    refused(own, execution, "18 of 18 images of --retain are also in the test split", retain="photos/test")
    refused(own, execution, "There is no folder 'nowhere'", retain="folder:nowhere")


def test_a_list_runs_in_the_benchmark_too(home: Path, bench: Bench, execution: ExecutionConfig) -> None:
    Path("some.txt").write_text("\n".join(str(k) for k in _training_rows(12)))
    here = Bench.choose(bench.benchmarks, bench.store, Choice(scenario="list", forget=("some.txt",)))
    outcome = make_runs(here, [Row(method=name) for name in ("retrained", "ft", "muda")], execution)
    assert set(outcome.made) == {"done"}
    assert make_runs(here, [Row(method="ft")], execution).made == ()
    (ft,) = here.store.runs(method="ft")
    assert here.as_recorded(here.selection).forget == (ft.forget,)
    changed = replace(here, selection=replace(here.selection, forget=("some.txt",)))
    Path("some.txt").write_text("\n".join(str(k) for k in _training_rows(11)))
    assert len(make_runs(changed, [Row(method="ft")], execution).made) == 2


def _training_rows(count: int) -> list[int]:
    digits = loading.load("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    assert digits.source is not None
    return torch.nonzero(digits.source.rows >= 0)[:count, 0].tolist()


def test_retained_images_become_colour_if_the_others_are(home: Path) -> None:
    photos(home / "photos", *SPLITS, count=3)
    for name in ("cat", "dog"):
        (home / "grey" / name).mkdir(parents=True)
        for k in range(3):
            Image.new("L", (12, 10), 40 * k + len(name) + (name == "dog")).save(home / "grey" / name / f"{k}.png")
    data = loading.load("folder:photos", folder=home)
    both = with_retain(data, "grey", folder=home, reading=AS_IT_IS)
    assert both.retain is not None and both.retain.pixels.shape[1:] == data.train.pixels.shape[1:]
