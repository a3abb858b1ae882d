"""Plug-ins that meddle, or break: whatever they do in their own run, no other run and no recorded value changes."""

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sqlalchemy import select
from support.benchmark import new_run

from unlearn_bench.checks.doctor import database_findings
from unlearn_bench.config.benchmarks import Row
from unlearn_bench.core.errors import FileError, StoreError
from unlearn_bench.core.files import atomic_write
from unlearn_bench.core.registry import load_plugin, without_plugin_files
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.metrics import metrics
from unlearn_bench.models import Classifier
from unlearn_bench.models.outputs import ModelOutputs
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.store.exchange import export_runs
from unlearn_bench.store.tables import ModelRow
from unlearn_bench.training.monitor import RunMonitor

ORIGINAL = [Row(method="original")]


@pytest.fixture
def add_metric(register: Callable[..., ExitStack]) -> Callable[[str, Callable[[ModelOutputs], float]], ExitStack]:
    """Registers a function as a plug-in's metric, for the length of a test."""

    def add(name: str, function: Callable[[ModelOutputs], float]) -> ExitStack:
        return register(metrics, replace(metrics.get("da"), name=name, function=function))

    return add


@pytest.fixture
def add_method(register: Callable[..., ExitStack]) -> Callable[..., None]:
    """Registers a function as a plug-in's method, likewise."""

    def add(name: str, function: Callable[[UnlearningProblem], Classifier], train_set: str = "D_f") -> None:
        entry = replace(methods.get("ft"), name=name, function=function, train_set=train_set)
        register(methods, entry)

    return add


def values(bench: Bench) -> dict[str, dict[str, float]]:
    return {run.key: run.values for run in bench.store.runs()}


def test_a_metric_that_is_not_finite_costs_no_run(
    bench: Bench, execution: ExecutionConfig, add_metric: Callable[..., ExitStack]
) -> None:
    make_runs(bench, ORIGINAL, execution)
    before = values(bench)
    extra = add_metric("extra", lambda _outputs: float("nan"))
    assert make_runs(bench, ORIGINAL, execution).made == ("failed", "failed")
    assert values(bench) == before
    # nor, where nothing was recorded before, does it condemn the run for good
    make_runs(bench, [Row(method="ft_classifier")], execution)
    extra.close()
    assert make_runs(bench, [Row(method="ft_classifier")], execution).failures == 0


def test_the_metric_of_one_plugin_stays_where_another_ones_is_measured(
    bench: Bench, execution: ExecutionConfig, add_metric: Callable[..., ExitStack]
) -> None:
    first = add_metric("first", lambda _outputs: 1.0)
    make_runs(bench, ORIGINAL, execution)
    first.close()
    add_metric("second", lambda _outputs: 2.0)
    make_runs(bench, ORIGINAL, execution)
    assert all((run["first"], run["second"]) == (1.0, 2.0) for run in values(bench).values())


def test_a_metric_that_works_in_place_changes_no_other(
    bench: Bench, execution: ExecutionConfig, add_metric: Callable[..., ExitStack]
) -> None:
    make_runs(bench, ORIGINAL, execution)
    before = values(bench)

    def spoil(outputs: ModelOutputs) -> float:
        outputs.forget.features.zero_()
        outputs.retain.logits.relu_()
        return 0.5

    add_metric("aaa", spoil)  # the first in order
    make_runs(bench, ORIGINAL, execution)
    assert values(bench) == {key: {**run, "aaa": 0.5} for key, run in before.items()}


def spoil_images(
    problem: UnlearningProblem,
    *,
    epochs: int = 1,
    batch_size: int = 1,
    lr: float = 1.0,
    decay: float = 1.0,
    weight_decay: float = 0.0,
) -> Classifier:
    problem.retain.pixels.bitwise_not_()
    return problem.copy_of_original()


def spoil_torch(problem: UnlearningProblem) -> Classifier:
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True
    return problem.copy_of_original()


@pytest.mark.parametrize(("spoil", "train_set"), [(spoil_images, "D"), (spoil_torch, "D_f")])
def test_a_method_that_meddles_changes_no_later_run(
    spoil: Callable[[UnlearningProblem], Classifier],
    train_set: str,
    bench: Bench,
    execution: ExecutionConfig,
    add_method: Callable[..., None],
    tmp_path: Path,
) -> None:
    other = replace(bench, store=type(bench.store)(f"sqlite:///{tmp_path / 'other' / 'runs.sqlite'}"))
    make_runs(other, [Row(method="neggrad")], execution)
    add_method("meddler", spoil, train_set)
    outcome = make_runs(bench, [Row(method="meddler"), Row(method="neggrad")], execution)
    assert outcome.failures == 0
    expected = values(other)
    assert {key: run for key, run in values(bench).items() if key in expected} == expected
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert torch.get_default_dtype() == torch.float32


def test_a_plugin_that_exits_is_a_failed_run_and_the_others_are_made(
    bench: Bench, execution: ExecutionConfig, add_method: Callable[..., None]
) -> None:
    add_method("quitter", lambda _problem: sys.exit(0))
    outcome = make_runs(bench, [Row(method="quitter"), Row(method="neggrad")], execution)
    assert outcome.made.count("failed") == 2
    assert {run.method for run in bench.store.runs(status="done")} == {"original", "neggrad"}
    assert bench.store.runs(status="failed")[0].error == "SystemExit: 0"


def test_what_runs_is_what_was_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not bytecode that lies about: a file of the same time and size may have been changed."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "plugged_x.py"
    text = (
        "from unlearn_bench.metrics import metric\n"
        "@metric(label='X', bounds=(0, 1), better='higher', source='')\n"
        "def extra_x(outputs):\n    return 0.25\n"
    )
    file.write_text(text)
    with without_plugin_files():
        load_plugin(file)
        assert metrics.get("extra_x").function(None) == 0.25
    state = file.stat()
    monkeypatch.syspath_prepend(tmp_path)
    with metrics.temporarily():
        importlib.import_module("plugged_x")  # which writes bytecode
    assert list((tmp_path / "__pycache__").glob("*.pyc"))
    file.write_text(text.replace("0.25", "0.75"))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    with without_plugin_files():
        load_plugin(file)
        assert metrics.get("extra_x").function(None) == 0.75


def test_a_loss_with_its_graph_is_recorded_as_its_number() -> None:
    monitor = RunMonitor()
    monitor.record("loss", torch.ones(1, requires_grad=True).sum())  # type: ignore[arg-type]  # as a plug-in might
    assert monitor.curves == [(0, "loss", 1.0)]
    assert type(monitor.curves[0][2]) is float


def test_an_export_replaces_parquet_files_alone(bench: Bench, tmp_path: Path) -> None:
    bench.store.record(new_run(bench, "ft", "1", (0.5, 80.0)))
    assert bench.store.path
    before = bench.store.path.read_bytes()
    with pytest.raises(StoreError, match=r"its name must end in \.parquet"):
        export_runs(bench.store, bench.store.path)
    assert bench.store.path.read_bytes() == before
    assert export_runs(bench.store, tmp_path / "runs.parquet") == 1
    assert export_runs(bench.store, tmp_path / "runs.parquet") == 1
    pipe, folder = tmp_path / "pipe.parquet", tmp_path / "folder.parquet"
    os.mkfifo(pipe)
    folder.mkdir()
    for place in (pipe, folder):
        with pytest.raises(FileError, match="cannot be replaced, because it is not a regular file"):
            export_runs(bench.store, place)
    assert pipe.is_fifo()


def test_of_a_link_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to("there")
    with atomic_write(tmp_path / "link") as part:
        part.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_text() == "new"


def test_doctor_deletes_nothing_outside_nor_what_is_written_anew(bench: Bench, execution: ExecutionConfig) -> None:
    make_runs(bench, ORIGINAL, execution)
    assert bench.store.path
    precious = bench.store.path.parent / "precious.safetensors"
    precious.write_text("mine")
    file = next(bench.store.models_folder.iterdir())
    intact = file.read_bytes()
    file.write_bytes(intact[:-1] + b"\0")
    (damaged,) = [
        found for found in database_findings(bench.store.url) if found.text.endswith("differs from what was written")
    ]
    file.write_bytes(intact)
    assert damaged.fix
    damaged.fix()
    assert file.exists(), "it was written anew between the look and the deed"

    def tamper(session: object) -> None:
        session.scalar(select(ModelRow)).file = "../precious.safetensors"  # type: ignore[attr-defined]

    bench.store.write(tamper)
    for found in database_findings(bench.store.url):
        if found.fix:
            found.fix()
    assert precious.read_text() == "mine"
