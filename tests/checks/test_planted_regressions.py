"""The demo's own expectations find faults that are planted in a copy of the code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from sqlalchemy import delete

from unlearn_bench.config.expectations import (
    read_expectations,
    write_expectations,
)
from unlearn_bench.store import Store
from unlearn_bench.store.tables import RunRow

REPOSITORY = Path(__file__).parents[2]
FAULTS = {
    "MUDA without alignment": (
        "methods/muda.py",
        "loss = loss - alpha * dimensional_alignment(",
        "loss = loss - 0 * dimensional_alignment(",
    ),
    "a metric off by its normaliser": (
        "numerics/kernels.py",
        "projected.norm() / moment.norm().clamp(min=tiny)",
        "projected.norm() / moment.trace().clamp(min=tiny)",
    ),
    "a wrong retain split": (
        "running/tasks.py",
        "candidates = torch.nonzero(~is_forget)[:, 0]",
        "candidates = torch.arange(len(is_forget))",
    ),
}


MUST_FAIL = {
    "MUDA without alignment": {("muda", "da")},
    "a metric off by its normaliser": {("retrained", "da"), ("muda", "da")},  # the others' D_f spans one direction
    "a wrong retain split": {("ft_classifier", "acc_forget")},
}


MAY_FAIL = {  # no other line may
    "MUDA without alignment": {"muda"},
    "a metric off by its normaliser": {"original", "retrained", "ft_classifier", "muda"},
    "a wrong retain split": {"ft_classifier", "muda"},
}


MADE_WITH_IT = {  # what the fault has part in: the rest is taken from runs of the code as it is
    "MUDA without alignment": "methods",
    "a metric off by its normaliser": "metrics",
    "a wrong retain split": "methods",
}


def check_of(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command, by the copy of the code in a folder and on the database there."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "UNLEARN_BENCH_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "unlearn_bench", "check", "--db", "sqlite:///runs/runs.sqlite"]
    return subprocess.run(
        [*command, "--junit", "j.xml", "--retest", "0", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, the demo's expectations of four methods, and a database in which they hold."""
    folder = tmp_path_factory.mktemp("held")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "unlearn_bench", folder / "unlearn_bench", ignore=ignored)
    shutil.copytree(REPOSITORY / "results" / "references", folder / "results" / "references")
    written = yaml.safe_load((REPOSITORY / "benchmarks.yaml").read_text(encoding="utf-8"))
    methods = ("original", "retrained", "ft_classifier", "muda")
    written["tables"] = {"A": {**written["tables"]["A"], "rows": list(methods)}}
    written["figures"], written["claims"] = {}, []
    (folder / "benchmarks.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    demo = read_expectations(REPOSITORY / "results" / "expectations.yaml")["demo"]
    demo = demo.model_copy(update={"values": {method: demo.values[method] for method in methods}})
    write_expectations(folder / "results" / "expectations.yaml", {"demo": demo})
    checked = check_of(folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_regressions_of_the_demo_fail_in_their_own_lines(fault: str, held: Path, tmp_path: Path) -> None:
    """The demo's own expectations, of four methods, against a copy of the code with a fault planted in it."""
    home = tmp_path / "home"
    shutil.copytree(held, home)
    store = Store(f"sqlite:///{home / 'runs' / 'runs.sqlite'}")
    store.write(lambda session: session.execute(delete(RunRow)))
    if MADE_WITH_IT[fault] == "methods":
        for run in Store(f"sqlite:///{held / 'runs' / 'runs.sqlite'}").runs():
            if run.method not in ("original", "retrained") and run.model and run.model.file:
                (store.models_folder / run.model.file).unlink()
    file, right, wrong = FAULTS[fault]
    code = home / "unlearn_bench" / file
    source = code.read_text(encoding="utf-8")
    assert source.count(right) == 1
    code.write_text(source.replace(right, wrong), encoding="utf-8")
    checked = check_of(home)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    cases = ElementTree.parse(home / "j.xml").iter("testcase")
    failed = {
        (str(case.get("classname")).removeprefix("demo."), str(case.get("name")))
        for case in cases
        if case.find("failure") is not None
    }
    assert failed >= MUST_FAIL[fault]
    assert {method for method, _ in failed} <= MAY_FAIL[fault]
