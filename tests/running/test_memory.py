"""The memory of training is estimated before anything is trained."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.photos import photos

from unlearn_bench.config.benchmarks import Row, load
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import DataError, OptionError
from unlearn_bench.core.sources import Reading
from unlearn_bench.data import Dataset, Images
from unlearn_bench.report.bench import Bench
from unlearn_bench.running import memory
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.running.plan import make_plan
from unlearn_bench.running.tasks import Task
from unlearn_bench.store import Store

MODEL = {"name": "resnet18", "width": 4, "groups": 2}
CPU = torch.device("cpu")


def test_activations_are_those_of_a_convolution_counted_by_hand() -> None:
    """A network of 64-pixel images and one of twice the side, which keeps four times as much for each image."""
    small, large = (memory.activations(MODEL, 3, side, side, 10) for side in (64, 128))
    assert small is not None and large is not None
    assert large.training == pytest.approx(4 * small.training)
    stem = 4 * 4 * 64 * 64  # bytes of the outputs of the first convolution: 4 channels of float32
    assert small.evaluation >= 2 * stem
    assert 20 * stem < small.training < 80 * stem  # normalisation, ReLU and two convolutions in each of eight blocks


VIT = {"name": "timm:vit_tiny_patch16_224", "patch_size": 4, "depth": 1, "embed_dim": 24, "num_heads": 3}
ALEXNET = {"name": "torchvision:alexnet"}  # which takes images of at least 63 pixels


def test_networks_of_libraries_have_an_estimate_whatever_images_they_take() -> None:
    grey, colour = (memory.activations({"name": "torchvision:resnet18"}, number, 8, 8, 10) for number in (1, 3))
    assert grey is not None and grey == colour, "grey images are repeated"
    tall, wide = (memory.activations({**VIT, "img_size": side}, 1, side, side, 10) for side in (8, 128))
    assert tall is not None and wide is not None, "a network of one size, below and above the side of small images"
    assert wide.training > 100 * tall.training, "256 times as many patches"
    small, large = (memory.activations({**ALEXNET, "input_size": 64}, 3, side, side, 10) for side in (8, 640))
    assert small is not None and small == large, "a network that resizes images"
    as_it_is = memory.activations(ALEXNET, 3, 640, 640, 10)
    assert as_it_is is not None and as_it_is.training > 50 * small.training
    assert memory.activations({**VIT, "img_size": 8}, 1, 12, 12, 10) is None, "it does not take these images"


def test_the_estimate_changes_no_random_number() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    memory.activations(MODEL, 1, 8, 8, 10)
    assert torch.equal(torch.rand(3), expected)


def tasks_of(bench: Bench, dataset: Dataset) -> tuple[Task, ...]:
    return make_plan(bench.selection, [Row(method="ft")], dataset, bench.store).missing


def test_workers_are_as_many_as_memory_allows(bench: Bench, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = tasks_of(bench, digits)
    per_run = memory.activations(MODEL, 1, 8, 8, 10)
    assert per_run is not None and len(tasks) > 3
    needed = max(32 * per_run.training, 240 * per_run.evaluation)
    room = needed + digits.train.pixels.nbytes + digits.test.pixels.nbytes
    for available, wanted, expected in ((2.5 * room, 3, 2), (9 * room, 3, 3), (1.1 * room, 3, 1)):
        monkeypatch.setattr(memory, "available_memory", lambda available=available: int(available))
        cores = set(range(wanted))
        monkeypatch.setattr(memory.os, "sched_getaffinity", lambda _process, cores=cores: cores, raising=False)
        assert memory.choose_workers(tasks, digits, CPU, None) == expected
    monkeypatch.setattr(memory, "available_memory", lambda: int(2.5 * room))
    with pytest.raises(OptionError, match=r"--workers 8: 4 runs at the same time need about .* Give --workers 2\."):
        memory.choose_workers(tasks, digits, CPU, 8)
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    assert memory.choose_workers(tasks, digits, CPU, 2) == 2, "a system that does not tell stops nobody"


def test_what_does_not_fit_is_one_sentence(bench: Bench, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = Images(torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(240, 1, 1500, 2000), digits.train.labels)
    photographed = replace(digits, train=huge, test=huge[torch.zeros(0, dtype=torch.int64)])
    monkeypatch.setattr(memory, "available_memory", lambda: 2**30)
    needs = r"^resnet18 needs about \d\d GiB of memory for 32 images of 2000×1500 pixels in a batch, and 1\.0 GiB are"
    with pytest.raises(DataError, match=needs) as told:
        memory.choose_workers(tasks_of(bench, digits), photographed, CPU, None)
    assert "--size" not in str(told.value), "a built-in data set has one size"


def test_photos_that_do_not_fit_are_refused_before_anything_is_made(
    home: Path, execution: ExecutionConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(home / "photos", "cat", "dog", "fox", count=4, width=200, height=150)
    store = Store(f"sqlite:///{home / 'results' / 'runs.sqlite'}")
    monkeypatch.setattr(memory, "available_memory", lambda: 2**24)
    for size in (None, 16):
        reading = Reading(size=size)
        chosen = Bench.choose(load(), store, Choice(dataset="folder:photos", forget=("cat",), reading=reading))
        if size is None:
            with pytest.raises(DataError, match=r"200×150 pixels.*Give --size, such as --size 64"):
                make_runs(chosen, [Row(method="original")], execution)
            assert store.runs() == []
        else:
            outcome = make_runs(chosen, [Row(method="original")], execution)
            assert (outcome.made, [run.dataset for run in store.runs()]) == (("done",), ["folder:photos@16"])
