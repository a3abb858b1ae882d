"""A training that is interrupted and goes on has the bits of one that is not."""

import io
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from support.benchmark import make_problem
from torch import Tensor, nn

from unlearn_bench.core.errors import FileError
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.models import Classifier, build
from unlearn_bench.store.trainings import TrainingFile, read_header
from unlearn_bench.training import resume
from unlearn_bench.training.monitor import RunMonitor
from unlearn_bench.training.resume import SavedTraining

STEPS = 12  # 3 an epoch, on 24 images
OPTIONS = {"epochs": 4, "batch_size": 10, "lr": 0.1}
FAST = {
    **{"momentum": 0.9, "nesterov": True, "schedule": "triangular", "label_smoothing": 0.1},
    **{"decay_matrices_only": True, "crop_padding": 2, "crop_fill": "reflect", "flip": "alternate"},
}
RECIPES = {
    "paper": ({}, "none", torch.float32),
    "fast": (FAST, "crop_flip", torch.bfloat16),
    "dropout": ({"optimizer": "adam", "decay": 0.9}, "crop_flip", torch.float32),
}


class Dropout(Classifier):
    """Draws from the global generator, and counts its passes in a buffer that checkpoints leave out."""

    def __init__(self) -> None:
        super().__init__()
        self.last_stage_ = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(16, 10)
        self.register_buffer("passes", torch.zeros(()), persistent=False)

    @property
    def last_stage(self) -> nn.Module:
        return self.last_stage_

    def features(self, x: Tensor) -> Tensor:
        self.passes += 1.0
        return self.last_stage_(x) * (1 + 0.1 * self.passes.sqrt())


def network_of(recipe: str) -> Classifier:
    if recipe == "dropout":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            return Dropout()
    wide = {"name": "airbench", "width": 8, "deep_width": 16, "group_size": 4, "norm": "batch"}
    narrow = {"name": "resnet18", "width": 4, "groups": 2}
    return build(wide if recipe == "fast" else narrow, channels=1, classes=10, seed=7)


@dataclass
class Watcher:
    """Watches a run: what it saw is saved too."""

    seen: dict[str, Any] = field(default_factory=dict)
    is_paused: bool = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.is_paused = True
        yield
        self.is_paused = False

    def state(self) -> dict[str, Any]:
        return dict(self.seen)

    def restore(self, state: Mapping[str, Any]) -> None:
        self.seen = dict(state)


class Ended(NamedTuple):
    """What a training leaves."""

    weights: dict[str, Tensor]
    counters: tuple[int, ...]
    curves: list[tuple[int, str, float]]


class Training:
    """Trains the original model, as often as it is interrupted."""

    def __init__(self, problem: UnlearningProblem, file: TrainingFile, recipe: str) -> None:
        options, augment, precision = RECIPES[recipe]
        self.options = {**OPTIONS, **options}
        self.problem = replace(problem, augment=augment, precision=precision)
        self.recipe, self.file = recipe, file
        self.watcher = Watcher()
        self.monitor = RunMonitor()
        self.said: list[str] = []
        self.steps: list[int] = []
        self.each_step: Callable[[], object] = int

    def run(self, stop: int | None = None, saved: bool = True, every: float = 0.0) -> Ended:
        def progress(_task: str, done: int, _total: int) -> None:
            self.steps.append(done)
            self.each_step()
            if done == stop:
                raise KeyboardInterrupt

        monitor = self.monitor = RunMonitor(progress=progress, say=self.said.append)
        monitor.start_clock()
        keep = SavedTraining(self.file, monitor, self.watcher, every) if saved else None
        original = network_of(self.recipe).eval().requires_grad_(False)
        problem = replace(self.problem, original=original, monitor=monitor, saved=keep)
        network = methods.get("original").unlearn(problem, self.options)
        counters = (monitor.samples_seen, monitor.forward_images, monitor.backward_images, monitor.planned_steps)
        return Ended(network.state_dict(), counters, [point for point in monitor.curves if point[1] != "resumed"])

    def interrupt(self, step: int) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.run(step)


@pytest.fixture
def training(digits: Dataset, split: ForgetSplit, tmp_path: Path) -> Callable[..., Training]:
    def make(recipe: str = "paper", torch_version: str = "2") -> Training:
        file = TrainingFile(tmp_path, "key", "original", {"torch": torch_version})
        return Training(make_problem(digits, split), file, recipe)

    return make


def assert_same(found: Ended, expected: Ended) -> None:
    assert (found.counters, found.curves) == (expected.counters, expected.curves)
    assert found.weights.keys() == expected.weights.keys()
    for name, value in found.weights.items():
        assert torch.equal(value, expected.weights[name]), name


@pytest.mark.parametrize("stops", [(2,), (4, 9), (STEPS,)], ids=str)
@pytest.mark.parametrize("recipe", RECIPES)
def test_it_ends_with_the_same_bits(recipe: str, stops: tuple[int, ...], training: Callable[..., Training]) -> None:
    """Interrupted in the middle of an epoch; after an epoch, and once more; before the last step."""
    interrupted = training(recipe)
    for stop in stops:
        interrupted.interrupt(stop)
    assert_same(interrupted.run(), training(recipe).run(saved=False))
    ends = (0, *(stop - 1 for stop in stops), STEPS)
    assert interrupted.steps == [
        step for begin, end in zip(ends, (*stops, STEPS), strict=False) for step in range(begin + 1, end + 1)
    ]
    assert interrupted.said == [f"original: goes on from step {stop - 1} of 12." for stop in stops]
    resumed = [point for point in interrupted.monitor.curves if point[1] == "resumed"]
    assert resumed == [(stop - 1, "resumed", float(number)) for number, stop in enumerate(stops, 1)]


def test_a_saved_state_after_the_last_step_of_an_epoch_and_of_the_training(training: Callable[..., Training]) -> None:
    """The mean loss of the epoch is not recorded yet."""
    expected = training().run(saved=False)
    for save in (3, STEPS):
        one = training()
        one.file.path.unlink(missing_ok=True)
        one.interrupt(save + 1) if save < STEPS else one.run()
        again = training()
        assert_same(again.run(), expected)
        assert again.steps == list(range(save + 1, STEPS + 1))


def test_what_watches_the_run_and_the_time_go_on_too(
    training: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(resume.time, "perf_counter", lambda: clock[0])
    first, second = training(), training()
    first.watcher.seen = {"opened": ["a file"]}
    for one in (first, second):
        one.each_step = lambda: clock.__setitem__(0, clock[0] + 10.0)
    first.interrupt(6)
    clock[0] += 1000.0  # nobody trains
    second.run()
    assert second.monitor.elapsed() == 10.0 * STEPS
    assert second.watcher.seen == {"opened": ["a file"]}
    assert not second.watcher.is_paused


def damaged(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def of_another_format(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"format":1', b'"format":2'))


def without_a_part(file: Path) -> None:
    rewrite(file, lambda state: state.pop("monitor"))


def of_another_network(file: Path) -> None:
    rewrite(file, lambda state: state.update(network={name: value[:1] for name, value in state["network"].items()}))


def with_code(file: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return Path.touch, (file.with_name("attacked"),)

    content = io.BytesIO()
    torch.save({"network": Attack()}, content)
    TrainingFile(file.parent, file.stem, "original", {"torch": "2"}).write(content.getvalue(), 1, 2)


def rewrite(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    line = TrainingFile(file.parent, file.stem, "original", {"torch": "2"})
    state = torch.load(io.BytesIO(line.read() or b""), weights_only=True)
    change(state)
    content = io.BytesIO()
    torch.save(state, content)
    line.write(content.getvalue(), 5, 12)


@pytest.mark.parametrize(
    "fault",
    [damaged, of_another_format, without_a_part, of_another_network, with_code],
    ids=lambda f: f.__name__,
)
def test_a_file_that_does_not_fit_is_not_used(fault: Callable[[Path], None], training: Callable[..., Training]) -> None:
    first = training("dropout")
    first.interrupt(6)
    fault(first.file.path)
    second = training("dropout")
    assert_same(second.run(), training("dropout").run(saved=False))
    assert second.steps == list(range(1, STEPS + 1))
    (said,) = second.said
    assert said.startswith("original: starts from its first step, because ")
    assert "weights_only" not in said
    assert not first.file.path.with_name("attacked").exists()


def test_another_version_starts_anew_and_says_why(training: Callable[..., Training]) -> None:
    training().interrupt(6)
    other = training(torch_version="3")
    other.run()
    assert other.said == ["original: starts from its first step, because it was saved with another torch: 2, now 3."]
    assert other.steps[0] == 1


def test_a_full_disk_does_not_end_the_training(
    training: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise FileError("No space left on device.")

    monkeypatch.setattr(TrainingFile, "write", full)
    one = training()
    assert_same(one.run(), training().run(saved=False))
    assert one.said == ["original: its progress is not saved, and the training goes on. No space left on device."]


def test_it_is_saved_at_most_once_a_minute_and_seldom_on_a_slow_disk(
    training: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, saved = [0.0], list[float]()

    def write(_file: TrainingFile, _content: bytes, step: int, _steps: int) -> None:
        saved.append(clock[0])
        clock[0] += 2.0  # seconds that a slow disk takes

    def tick() -> float:
        clock[0] += 5.0
        return clock[0]

    monkeypatch.setattr(TrainingFile, "write", write)
    monkeypatch.setattr(resume.time, "monotonic", tick)
    monkeypatch.setattr(resume.time, "perf_counter", lambda: clock[0])
    one = training()
    one.options["epochs"] = 40
    one.run(every=60.0)
    assert saved[0] == pytest.approx(65, abs=10)
    assert min(b - a for a, b in itertools.pairwise(saved)) >= 2.0 / resume.LARGEST_SHARE
    assert one.monitor.saving_seconds >= 2.0 * len(saved)


def test_only_the_first_training_of_a_run_is_saved(training: Callable[..., Training]) -> None:
    one, original = training(), methods.get("original")
    monitor = RunMonitor()
    keep = SavedTraining(one.file, monitor, Watcher(), 0.0)
    problem = replace(one.problem, original=network_of("paper"), monitor=monitor, saved=keep)
    original.unlearn(problem, one.options)
    header = read_header(one.file.path)
    assert header is not None and (header.step, header.steps) == (STEPS, STEPS)
    original.unlearn(problem, one.options)
    assert read_header(one.file.path) == header
