"""A training that is interrupted and goes on has the bits of one that is not."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.benchmark import make_problem
from torch import Tensor

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.models import Classifier, build
from unlearn_bench.store.trainings import TrainingFile
from unlearn_bench.training.monitor import RunMonitor
from unlearn_bench.training.resume import SavedTraining

OPTIONS = {"epochs": 4, "batch_size": 10, "lr": 0.1}  # 3 steps an epoch on 24 images
FAST = {
    "momentum": 0.9,
    "nesterov": True,
    "schedule": "triangular",
    "label_smoothing": 0.1,
    "decay_matrices_only": True,
    "crop_padding": 2,
    "crop_fill": "reflect",
    "flip": "alternate",
}
RECIPES = {
    "the paper's": ({}, "none", torch.float32),
    "fast": (FAST, "crop_flip", torch.bfloat16),
    "Adam": ({"optimizer": "adam", "decay": 0.9}, "crop_flip", torch.float32),
}


@dataclass
class Seen:
    """What watches a run in these tests: nothing."""

    state_: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def paused(self) -> Iterator[None]:
        yield

    def state(self) -> dict[str, Any]:
        return self.state_

    def restore(self, state: Mapping[str, Any]) -> None:
        self.state_ = dict(state)


class Stop(KeyboardInterrupt):
    """Ctrl-C in the middle of a training."""


def network_of(name: str) -> Classifier:
    wide = {"width": 32, "deep_width": 64, "group_size": 16, "norm": "batch"}
    description = {"name": "airbench", **wide} if name == "fast" else {"name": "resnet18", "width": 4, "groups": 2}
    return build(description, channels=1, classes=10, seed=7).eval().requires_grad_(False)


class Training:
    """Trains the original model of a recipe, as often as it is interrupted."""

    def __init__(self, problem: UnlearningProblem, folder: Path, recipe: str) -> None:
        options, augment, precision = RECIPES[recipe]
        self.options = {**OPTIONS, **options}
        self.problem = replace(problem, augment=augment, precision=precision)
        self.recipe, self.folder = recipe, folder
        self.said: list[str] = []
        self.steps: list[int] = []
        self.made_with = {"torch": "2"}

    @property
    def file(self) -> TrainingFile:
        return TrainingFile(self.folder, "k", "original", self.made_with)

    def run(self, stop: int | None = None, saved: bool = True, every: float = 0.0) -> tuple[dict[str, Tensor], Any]:
        def progress(_task: str, done: int, _total: int) -> None:
            self.steps.append(done)
            if done == stop:
                raise Stop

        monitor = RunMonitor(progress=progress, say=self.said.append)
        keep = SavedTraining(self.file, monitor, Seen(), every) if saved else None
        problem = replace(self.problem, original=network_of(self.recipe), monitor=monitor, saved=keep)
        network = methods.get("original").unlearn(problem, self.options)
        counters = (monitor.samples_seen, monitor.forward_images, monitor.backward_images, monitor.steps)
        curves = [point for point in monitor.curves if point[1] != "resumed"]
        return network.state_dict(), (counters, monitor.planned_steps, curves)


@pytest.fixture
def training(digits: Dataset, split: ForgetSplit, tmp_path: Path) -> Callable[[str], Training]:
    return lambda recipe: Training(make_problem(digits, split), tmp_path, recipe)


def assert_same(first: tuple[dict[str, Tensor], Any], second: tuple[dict[str, Tensor], Any]) -> None:
    assert first[1] == second[1]
    assert first[0].keys() == second[0].keys()
    for name, value in first[0].items():
        assert torch.equal(value, second[0][name]), name


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("stops", [(2,), (4, 5), (7, 10), (13,)], ids=str)
def test_it_ends_with_the_same_bits(recipe: str, stops: tuple[int, ...], training: Callable[[str], Training]) -> None:
    """Interrupted before step 2, in the middle of epochs, twice, after an epoch's last step, never."""
    interrupted = training(recipe)
    for stop in stops:
        with pytest.raises(Stop) if stop <= 12 else contextmanager(lambda: iter([None]))():
            interrupted.run(stop)
    torch.rand(3)  # the global generator is another one in another process
    found = interrupted.run()
    assert_same(found, training(recipe).run(saved=False))
