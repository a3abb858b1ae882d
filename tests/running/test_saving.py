"""Runs whose training is interrupted: they go on, are recorded once, and leave no file behind."""

import functools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unlearn_bench.checks.doctor import Finding, database_findings
from unlearn_bench.config.benchmarks import Row
from unlearn_bench.core.errors import OptionError
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.models import Classifier
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.running.saving import VARIABLE
from unlearn_bench.store import Store
from unlearn_bench.store.leases import Leases
from unlearn_bench.store.records import RunRecord

RETRAINED = [Row(method="retrained")]
TITLE = "retrained, digits, forget 1, seed 0"


@pytest.fixture
def chosen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One forget set; every step is saved."""
    monkeypatch.setenv(VARIABLE, "0")
    return replace(bench, selection=replace(bench.selection, forget=("1",)))


def interrupt(bench: Bench, execution: ExecutionConfig, step: int = 20) -> list[str]:
    """Interrupts the training before it saves this step, and returns what was said."""
    said: list[str] = []

    def progress(_task: str, done: int, total: int) -> None:
        if total > 10 and done == step:  # not the progress of all runs
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_runs(bench, RETRAINED, replace(execution, progress=progress, say=said.append))
    return said


def saved(bench: Bench) -> list[Path]:
    return sorted(bench.store.models_folder.glob("*.training"))


def run_of(store: Store) -> RunRecord:
    (run,) = store.runs(method="retrained")
    return store.run(str(run.id))


def findings(bench: Bench) -> list[Finding]:
    return [finding for finding in database_findings(bench.store.url) if "state of" in finding.text]


def test_a_run_goes_on_and_is_recorded_as_one_that_was_not_interrupted(
    chosen: Bench, execution: ExecutionConfig, tmp_path: Path
) -> None:
    assert interrupt(chosen, execution) == [f"{TITLE}: saved at step 19 of 42; the same command goes on from there."]
    assert len(saved(chosen)) == 1 and chosen.store.count() == 0
    said: list[str] = []
    assert make_runs(chosen, RETRAINED, replace(execution, say=said.append)).made == ("done",)
    assert said == [f"{TITLE}: goes on from step 19 of 42.", f"[1/1] {TITLE}: done"]
    assert saved(chosen) == []
    whole = replace(chosen, store=Store(f"sqlite:///{tmp_path / 'whole' / 'runs.sqlite'}"))
    make_runs(whole, RETRAINED, execution)
    found, expected = run_of(chosen.store), run_of(whole.store)
    assert found.model and expected.model
    assert (found.key, found.values) == (expected.key, expected.values)
    assert found.model.weights_digest == expected.model.weights_digest
    assert found.model.file_digest == expected.model.file_digest
    assert found.model.forward_images == expected.model.forward_images == 3 * 216
    assert found.model.samples_seen == expected.model.samples_seen
    assert [point for point in found.model.curves if point not in expected.model.curves] == [(19, "resumed", 1.0)]


def test_worker_processes_go_on_and_say_so(chosen: Bench, execution: ExecutionConfig) -> None:
    interrupt(chosen, execution)
    said: list[str] = []
    both = replace(chosen, selection=replace(chosen.selection, forget=("1", "3")))
    outcome = make_runs(both, RETRAINED, replace(execution, workers=2, say=said.append))
    assert outcome.made == ("done", "done")
    assert said.count(f"{TITLE}: goes on from step 19 of 42.") == 1
    assert saved(chosen) == []


def test_what_a_method_did_before_an_interruption_counts(
    chosen: Bench, execution: ExecutionConfig, register: Callable[..., ExitStack]
) -> None:
    """The images of its first part are not those of its problem; the second part, which goes on, shows none."""
    parts, retrained = list[int](), methods.get("retrained")

    @functools.wraps(retrained.function)  # its options
    def careless(problem: UnlearningProblem, **options: Any) -> Classifier:
        """Passes noise before its training, the first time."""
        if not parts:
            problem.original(torch.rand(3, 1, 8, 8))
        parts.append(1)
        return retrained.function(problem, **options)

    register(methods, replace(retrained, function=careless))
    interrupt(chosen, execution)
    assert make_runs(chosen, RETRAINED, execution).made == ("failed",)
    error = run_of(chosen.store).error
    assert error and error.startswith("3 of 651 images that passed through a network are not images of the problem")


def test_a_failed_run_keeps_its_progress(
    chosen: Bench, execution: ExecutionConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lacked memory, perhaps: the next command tries it again."""

    def progress(_task: str, done: int, total: int) -> None:
        if total > 10 and done == 20:
            raise MemoryError

    assert make_runs(chosen, RETRAINED, replace(execution, progress=progress)).made == ("failed",)
    said: list[str] = []
    assert make_runs(chosen, RETRAINED, replace(execution, say=said.append)).made == ("done",)
    assert said[0] == f"{TITLE}: goes on from step 19 of 42."
    assert saved(chosen) == []


def test_doctor_lists_trainings_that_were_never_finished(chosen: Bench, execution: ExecutionConfig) -> None:
    interrupt(chosen, execution)
    (file,) = saved(chosen)
    size = f"{file.stat().st_size / 2**20:.1f} MiB"
    (finding,) = findings(chosen)
    assert finding.text == f"{file} ({size}) is the state of '{TITLE}', interrupted at step 19 of 42"
    assert (finding.state, finding.fix) == ("note", None), "deleting it would lose an hour"
    with Leases(chosen.store) as busy:
        busy.take(file.stem)
        assert findings(chosen) == []
    content = file.read_bytes()
    file.write_bytes(b"no state")
    (finding,) = findings(chosen)
    assert finding.state == "wrong" and "damaged or of another version" in finding.text
    make_runs(chosen, RETRAINED, execution)
    file.write_bytes(content)  # the process was killed before it deleted the file
    (finding,) = findings(chosen)
    assert finding.state == "wrong" and finding.fix and "whose model is recorded" in finding.text
    finding.fix()
    assert saved(chosen) == [] and findings(chosen) == []
    file.write_bytes(content)
    make_runs(chosen, RETRAINED, execution)
    assert saved(chosen) == [], "the next command tidies up too"


@pytest.mark.parametrize("text", ["often", "-1", "nan"])
def test_a_time_between_saves_is_a_number_of_seconds(
    text: str, chosen: Bench, execution: ExecutionConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(OptionError, match=f"{VARIABLE} is '{text}', expected a number of seconds such as 60"):
        make_runs(chosen, RETRAINED, execution)
    assert chosen.store.count() == 0
