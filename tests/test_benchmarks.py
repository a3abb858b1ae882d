"""The headline benchmark at toy scale: its stages resume, and its report adds up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unlearn_bench.store import Store

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu_table3.py"


def stage(folder: Path, name: str) -> str:
    toy = ["--profile", "tiny", "--device", "cpu", "--shape", "1", "8", "8", "--forget", "1", "--folder", str(folder)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--stage", name, *toy],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
