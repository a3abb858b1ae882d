"""What many tests need: real images, a small network, a small benchmark on disk."""

import os
from pathlib import Path

import pytest
import torch

from unlearn_bench.bench import Bench, Machinery
from unlearn_bench.config import load as load_config
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.data.settings import settings
from unlearn_bench.methods import Method, UnlearningProblem
from unlearn_bench.models import build
from unlearn_bench.progress import silent
from unlearn_bench.spec import RunSpec
from unlearn_bench.store import Store
from unlearn_bench.store.records import DatasetRecord, Environment, MethodRecord, MetricRecord, NewRun, Status

SMALL = """
version: 1
default_profile: tiny
datasets:
  digits: {profile: tiny, augment: none, forget: {class: [1, 3], backdoor: [2], random: [10%]}}
  digit_pairs: {profile: tiny, augment: none, forget: {subclass: [1, 3]}}
  cifar10: {profile: tiny, augment: crop_flip, forget: {class: [1]}}
  folder: {profile: tiny, augment: none, forget: {class: [0]}}
profiles:
  tiny:
    title: a few digits
    dataset: digits
    subset: {digits: {train_per_class: 24, test_per_class: 8}}
    settings: {backdoor: {size: 2, place: top_left, shade: 255, rate: 0.1}, random: {stratified: true}}
    seeds: [0]
    model: {name: resnet18, width: 4, groups: 2}
    recipe: {epochs: 3, batch_size: 16, lr: 0.1, decay: 0.998, weight_decay: 0.001}
    options: {muda: {iterations: 12}, ft_classifier: {epochs: 2}, ft: {epochs: 2}}
tables:
  "3": {title: Small, rows: [original, retrained, ft, muda], metrics: [da, lp_forget]}
"""

METHODS = {
    "original": ("Original", "D", True),
    "retrained": ("Retrained", "D_r", True),
    "ft": ("FT", "D'_r", False),
    "muda": ("MUDA", "D'_r ∪ D_f", False),
}
METRICS = (MetricRecord("da", "DA", "", "higher", ""), MetricRecord("lp_forget", "LP(D_f)", "%", "near retrained", ""))


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_BENCH_CACHE", os.environ.get("UNLEARN_BENCH_TEST_CACHE", str(tmp_path / "cache")))
    monkeypatch.setenv("UNLEARN_BENCH_LOGS", str(tmp_path / "logs"))
    monkeypatch.delenv("UNLEARN_BENCH_DB", raising=False)
    monkeypatch.delenv("UNLEARN_BENCH_DATA", raising=False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, which a clone does not carry."""
    folder = os.environ.get("UNLEARN_BENCH_TEST_DATA")
    if not folder:
        pytest.skip("UNLEARN_BENCH_TEST_DATA is not set: no real CIFAR-10 at hand")
    return Path(folder)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)


@pytest.fixture(scope="session")
def split(digits: Dataset) -> ForgetSplit:
    found: ForgetSplit = settings.get("class").function(digits, "1")
    return found


@pytest.fixture
def problem(digits: Dataset, split: ForgetSplit) -> UnlearningProblem:
    """A problem that any method can take: D'_r and D_f both, an untrained network."""
    return make_problem(digits, split)


def make_problem(
    digits: Dataset, split: ForgetSplit, method: Method | None = None, images: int = 24
) -> UnlearningProblem:
    network = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=7).eval()
    forget, retain = digits.train[split.forget[:images]], digits.train[torch.nonzero(~split.is_forget)[:images, 0]]
    nothing = retain[torch.zeros(0, dtype=torch.int64)]
    train_set = method.train_set if method else "D'_r ∪ D_f"
    return UnlearningProblem(
        original=network.requires_grad_(False),
        retain=nothing if train_set in ("D_f", "none") else retain,
        forget=forget if "D_f" in train_set else nothing,
        forget_classes=split.classes,
        seed=3,
        normalise=Normalise(digits.mean, digits.std),
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small benchmarks.yaml, made the working folder."""
    (tmp_path / "benchmarks.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bench(home: Path) -> Bench:
    benchmarks = load_config()
    return Bench.choose(benchmarks, Store(f"sqlite:///{home / 'results' / 'runs.sqlite'}"))


@pytest.fixture
def machinery() -> Machinery:
    return Machinery(None, False, "cpu", 1, silent, lambda _line: None)


def new_run(
    bench: Bench,
    method: str,
    forget: str,
    values: tuple[float, float],
    status: Status = "done",
    options: dict[str, object] | None = None,
    images: str = "i",
) -> NewRun:
    """A run written by hand: nothing was trained for it."""
    label, train_set, is_reference = METHODS[method]
    return NewRun(
        spec=RunSpec(bench.selection.experiment, forget, method, "1", options or {}, 0, images * 64, forget * 64),
        profile="tiny",
        status=status,
        error=None if status == "done" else "loss is nan after 7 steps",
        changed_options=options or {},
        dataset=DatasetRecord(images * 64, "digits", 240, 80, "1×8×8", tuple("0123456789")),
        forget_images=24,
        method=MethodRecord(method, label, train_set, "", is_reference),
        metrics=METRICS,
        values=dict(zip(("da", "lp_forget"), values, strict=True)) if status == "done" else {},
        model=None,
        environment=Environment("0", {"torch": "1", "scikit-learn": "2", "python": "3"}, "a machine", "cpu"),
        evaluation_seconds=0.0,
    )
