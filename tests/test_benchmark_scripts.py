"""Benchmarks at toy scale: the headline's stages resume and its report adds up; a difference of runs is found."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.benchmark import new_run

from unlearn_bench.report.bench import Bench
from unlearn_bench.store import Store

FOLDER = Path(__file__).parent.parent / "benchmarks"


def said_by(script: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stage(folder: Path, name: str) -> str:
    toy = ["--profile", "tiny", "--device", "cpu", "--shape", "1", "8", "8", "--forget", "1", "--folder", str(folder)]
    return said_by("gpu_table3.py", "--stage", name, *toy)


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_the_headline_runs_in_stages_that_resume(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    assert "original: 1 of 1 runs made" in stage(folder, "original")
    assert "retrained: 1 of 1 runs made" in stage(folder, "retrained")
    assert "methods: 2 of 3 runs made" in stage(folder, "methods")
    assert "methods: 0 of 3 runs made" in stage(folder, "methods")
    said = stage(folder, "report")
    assert "model FLOP utilisation" in said
    figures = json.loads((folder / "bench-gpu-table3-tiny.json").read_text())["figures"]
    walls = json.loads((folder / "gpu-table3-walls.json").read_text())
    assert figures["wall time of all stages"]["value"] == pytest.approx(sum(walls.values()))
    runs = Store(f"sqlite:///{folder / 'gpu-table3.sqlite'}").runs()
    assert {run.method for run in runs} == {"original", "retrained", "ft", "muda"}
    spent = {run.model.key: run.model.method_seconds for run in runs if run.model}
    both = figures["references, seconds of their workers"]["value"] + figures["methods, likewise"]["value"]
    assert both == pytest.approx(sum(spent.values()))


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_runs_are_compared_to_the_bit(tmp_path: Path) -> None:
    """In another process they are the same; with another number of threads they are set beside."""
    (tmp_path / "kept").mkdir()
    words = ["--profile", "tiny", "--forget", "1", "--workers", "1", "--folder", str(tmp_path / "kept")]
    said_by("reproducibility.py", *words)
    found = json.loads((tmp_path / "kept" / "bench-reproducibility-tiny-cpu.json").read_text())
    assert found["runs"] == 4
    for kind in ("weights", "values"):
        assert found["figures"][f"another process: runs with the same {kind}, of all"]["value"] == 1
    assert {by["of_a_run"] for by in found["differences"]["another process"].values()} == {0}
    assert found["differences"]["2 threads"].keys() == found["differences"]["another process"].keys()


def test_a_difference_between_runs_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    from reproducibility import compare

    bench.store.record(new_run(bench, "muda", "1", (0.5, 80.0)))
    bench.store.record(new_run(bench, "muda", "3", (0.7, 90.0)))
    first = {(run.method, run.forget, 0, ""): run for run in bench.store.runs()}
    name = ("muda", "1", 0, "")
    other = {**first, name: replace(first[name], values={"da": 0.4, "lp_forget": 80.0})}
    weights, values, differences = compare(first, other)
    assert (weights, values) == (1, 0.5)
    assert (differences["da"].of_a_run, differences["da"].of_a_mean) == pytest.approx((0.1, 0.05))
    assert (differences["da"].method, differences["lp_forget"].of_a_run) == ("muda", 0)
