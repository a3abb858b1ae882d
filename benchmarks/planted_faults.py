"""Which check of ``check-method``, or which reference, tells each planted fault of a method from the right method.

    python benchmarks/planted_faults.py

Reads every fault of tests/support/*fault*.py, runs the check that must find it, or compares its weights with those of
the float64 loop that they must differ from. Writes results/planted-faults.txt.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch

from unlearn_bench.checks.conformance import examine
from unlearn_bench.checks.conformance.test_bed import TestBed
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.methods import UnlearningProblem, methods

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "results" / "planted-faults.txt"
sys.path.insert(0, str(ROOT / "tests"))
naive = importlib.import_module("support.naive_methods")


def problem() -> UnlearningProblem:
    """Returns the problem that the references solve: a few digits and a tiny network in float64."""
    digits = load("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    make_problem = importlib.import_module("support.benchmark").make_problem
    made: UnlearningProblem = naive.tiny(make_problem(digits, split_dataset(digits, "class", "1", {})))
    return made


def found(module: ModuleType, test_bed: TestBed) -> Iterator[str]:
    """Yields a line for each fault of a module."""
    for name, check in getattr(module, "CAUGHT_BY", {}).items():
        method = methods.get(name)
        (finding,) = examine(method, test_bed, [check])
        yield f"{name}: {_said(method.function)}\n  {finding.verdict} by check {check}: {finding.detail}"
    for name, reference in getattr(module, "DIFFERS_FROM", {}).items():
        fault, options = getattr(module, name), naive.OPTIONS[reference]
        distance = naive.distance(fault(problem(), **options), getattr(naive, reference)(problem(), **options))
        yield (
            f"{name}: {_said(fault)}\n  a weight differs from the float64 loop of {reference} by {distance:.1g}; the "
            f"right method's differ by less than {naive.CLOSE:g}"
        )


def _said(function: object) -> str:
    return (inspect.getdoc(function) or "").splitlines()[0]


def main() -> None:
    """Writes what finds each fault."""
    torch.set_num_threads(1)
    test_bed, lines = TestBed(), []
    for file in sorted((ROOT / "tests" / "support").glob("*fault*.py")):
        module = importlib.import_module(f"support.{file.stem}")
        for line in found(module, test_bed):
            lines.append(re.sub(r"/\S*?/(?=site-packages/)", "", line.replace(f"{ROOT}/", "")))  # no paths of a machine
            print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
