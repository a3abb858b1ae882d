"""Which faults `check` finds: each is planted in a copy of the code, and the demo is checked with it.

    unlearn-bench check --db sqlite:///check.sqlite        (the unchanged code's runs, which the copies start from)
    python benchmarks/planted_regressions.py --db check.sqlite

A fault of a method leaves all other runs as they are, so only that method's runs are made anew. Prints for each fault
which of the method's values fail the first pass; writes results/bench-planted-regressions.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from sqlalchemy import delete

from unlearn_bench.core.environment import packages
from unlearn_bench.store import Store
from unlearn_bench.store.tables import RunRow
from unlearn_bench.training.devices import machine

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Fault:
    """A wrong line in place of a right one, in a file of the package, and the method that it spoils."""

    title: str
    method: str
    file: str
    right: str
    wrong: str


FAULTS = (
    Fault("L_DA left out", "muda", "methods/muda.py", "loss - alpha * dim", "loss - 0 * dim"),
    Fault("sign of L_DA turned", "muda", "methods/muda.py", "loss - alpha * dim", "loss + alpha * dim"),
    Fault(
        "KL of L_SD reversed",
        "muda",
        "methods/muda.py",
        "beta * kl_divergence(target, logits.log_softmax(dim=1))",
        "beta * kl_divergence(logits.log_softmax(dim=1), target.clamp(min=-50))",
    ),
    Fault("beta a tenth", "muda", "methods/muda.py", "loss + beta * kl", "loss + 0.1 * beta * kl"),
    Fault(
        "target of L_SD with the forgotten class",
        "muda",
        "methods/muda.py",
        "redistribute(taught, forbidden_classes(problem, y, logits.shape[1]))",
        "taught.log_softmax(dim=1)",
    ),
    Fault("momentum 0", "scrub", "methods/scrub.py", "momentum=momentum)", "momentum=0.0)"),
    Fault(
        "no KL in the min step", "scrub", "methods/scrub.py", "logits, y) + alpha * distance(logits, x)", "logits, y)"
    ),
    Fault(
        "KL reversed",
        "scrub",
        "methods/scrub.py",
        "kl_divergence(target, (logits / temperature).log_softmax(dim=1))",
        "kl_divergence((logits / temperature).log_softmax(dim=1), target)",
    ),
    Fault("temperature 1", "scrub", "methods/scrub.py", "temperature**2 * kl", "1.0 * kl"),
    Fault(
        "not drawn anew",
        "eu_k",
        "methods/eu_k.py",
        "network.reinitialise(part, problem.seed + offset)",
        "_ = part, offset",
    ),
    Fault(
        "head alone drawn anew", "eu_k", "methods/eu_k.py", "(network.last_stage, network.head)):", "(network.head,)):"
    ),
    Fault(
        "information of the label alone",
        "fisher",
        "methods/fisher.py",
        'drawn = labels if variant == "empirical"',
        'drawn = labels if variant != "monte_carlo"',
    ),
    Fault(
        "information ignored",
        "fisher",
        "methods/fisher.py",
        "spread(information[name], is_head",
        "spread(0 * information[name], is_head",
    ),
    Fault(
        "descent in place of ascent",
        "neggrad_ft",
        "training/loop.py",
        "return -cross_entropy(",
        "return cross_entropy(",
    ),
    Fault(
        "D'_r drawn from D",
        "ft_classifier",
        "running/tasks.py",
        "torch.nonzero(~is_forget)[:, 0]",
        "torch.arange(len(is_forget))",
    ),
    Fault(
        "last stage frozen",
        "cf_k",
        "methods/cf_k.py",
        "(network, network.last_stage, network.head)",
        "(network, network.head)",
    ),
)


def plant(fault: Fault, folder: Path, database: Path) -> None:
    """Copies code, configuration, references and record into a folder, with the fault and without the method's runs."""
    shutil.copytree(ROOT / "unlearn_bench", folder / "unlearn_bench", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "results" / "references", folder / "results" / "references")
    shutil.copy(ROOT / "benchmarks.yaml", folder)
    shutil.copy(ROOT / "results" / "expectations.yaml", folder / "results")
    runs = folder / "runs"
    runs.mkdir()
    shutil.copy(database, runs / "runs.sqlite")
    store = Store(f"sqlite:///{runs / 'runs.sqlite'}")
    gone = {run.model.file for run in store.runs() if run.method == fault.method and run.model}
    store.write(lambda session: session.execute(delete(RunRow).where(RunRow.method == fault.method)))
    store.close()
    for part in ("models", "outputs"):
        (runs / part).mkdir()
        for file in (database.parent / part).glob("*.safetensors"):
            if file.name not in gone:  # weights that are not there are made again
                (runs / part / file.name).symlink_to(file)
    code = folder / "unlearn_bench" / fault.file
    source = code.read_text(encoding="utf-8")
    if source.count(fault.right) != 1:
        raise SystemExit(f"{fault.file} holds '{fault.right}' {source.count(fault.right)} times, expected once.")
    code.write_text(source.replace(fault.right, fault.wrong), encoding="utf-8")


def failing(folder: Path) -> list[str]:
    """Returns the values that the first pass of a check calls changed, as ``method metric``."""
    command = [sys.executable, "-m", "unlearn_bench", "check", "--retest", "0", "--junit", "j.xml"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run(
        [*command, "--db", "sqlite:///runs/runs.sqlite"], cwd=folder, env=environment, capture_output=True, check=False
    )
    cases = ElementTree.parse(folder / "j.xml").iter("testcase")
    return [
        f"{str(case.get('classname')).split('.')[-1]} {case.get('name')}"
        for case in cases
        if case.find("failure") is not None
    ]


def main() -> None:
    """Plants, checks, prints and writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--db", type=Path, required=True, help="SQLite file of an unchanged check")
    given = parser.parse_args()
    found: dict[str, list[str]] = {}
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            plant(fault, Path(folder), given.db.resolve())
            key = f"{fault.method}: {fault.title}"
            found[key] = failing(Path(folder))
        print(f"{key}: {', '.join(found[key]) or 'NOT FOUND'}", flush=True)
    seen = sum(bool(values) for values in found.values())
    print(f"{seen} of {len(found)} faults found.")
    result = {"faults": found, "machine": machine(), "packages": packages()}
    (ROOT / "results" / "bench-planted-regressions.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
