"""What many tests need: real images, a small network, a small benchmark on disk."""

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from support.benchmark import SMALL, make_problem, new_run
from support.exchange import whole
from support.page import CHROMIUM

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.core.progress import silent
from unlearn_bench.core.registry import Registry
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import scenarios
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.store import Store

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job, whose commands would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)

EXECUTION = ExecutionConfig(None, False, "cpu", 1, silent, lambda _line: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with slow tests first, then files with many tests: short ones fill what is left at the end."""
    slow, tests = Counter[Path](), Counter[Path]()
    for item in items:
        tests[item.path] += 1
        slow[item.path] += item.get_closest_marker("slow") is not None
    items.sort(key=lambda item: (-slow[item.path], -tests[item.path], str(item.path)))


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
    found: ForgetSplit = scenarios.get("class").function(digits, "1")
    return found


@pytest.fixture
def problem(digits: Dataset, split: ForgetSplit) -> UnlearningProblem:
    """A problem that any method can take: D'_r and D_f both, an untrained network."""
    return make_problem(digits, split)


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
def execution() -> ExecutionConfig:
    return EXECUTION


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small benchmark and its record of ``ft`` and its originals, made once for all tests."""
    folder = tmp_path_factory.mktemp("finetuned")
    (folder / "benchmarks.yaml").write_text(SMALL)
    store = Store(f"sqlite:///{folder / 'results' / 'runs.sqlite'}")
    torch.set_num_threads(1)
    make_runs(Bench.choose(load_config(folder / "benchmarks.yaml"), store), [Row(method="ft")], EXECUTION)
    store.close()
    return folder


@pytest.fixture
def trained(home: Path, finetuned: Path) -> Bench:
    """The small benchmark with a copy of the record ``finetuned``, for tests of what happens to a record."""
    shutil.copytree(finetuned / "results", home / "results")
    return Bench.choose(load_config(), Store(f"sqlite:///{home / 'results' / 'runs.sqlite'}"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def register() -> Iterator[Callable[..., ExitStack]]:
    """Adds entries to a registry, or replaces those of the same names, until the test ends or the result is closed."""
    with ExitStack() as stack:

        def add(registry: Registry[Any], *entries: Any) -> ExitStack:
            own = ExitStack()
            own.enter_context(registry.temporarily(*entries))
            stack.callback(own.close)
            return own

        yield add


@pytest.fixture
def stores(bench: Bench, tmp_path: Path) -> tuple[Store, Store]:
    """Two databases with one run in common: three runs here, two there."""
    ours, theirs = bench.store, Store(f"sqlite:///{tmp_path / 'theirs.sqlite'}")
    ours.record(whole(new_run(bench, "retrained", "1", (0.1 + 0.2, 60.0))))
    ours.record(new_run(bench, "ft", "1", (0.5, 80.0)))
    ours.record(new_run(bench, "muda", "1", (0.0, 0.0), status="diverged"))
    theirs.record(whole(new_run(bench, "retrained", "1", (0.1 + 0.2, 60.0))))
    theirs.record(whole(new_run(bench, "retrained", "3", (0.9, 61.0))))
    return ours, theirs
