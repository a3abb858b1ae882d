"""The examples in docstrings: every example runs, and every public function of some folders has one."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "unlearn_bench"
PROMPT = ">>> "
WITH_EXAMPLES = [file for file in sorted(PACKAGE.rglob("*.py")) if PROMPT in file.read_text(encoding="utf-8")]
# where every public function needs an example
DOCUMENTED = [PACKAGE / "api.py", *sorted(PACKAGE.glob("numerics/*.py")), *sorted(PACKAGE.glob("metrics/*.py"))]
# the exceptions, each with its reason
WITHOUT_EXAMPLE = {
    "unlearn_bench.metrics.metric": "it registers an entry; docs/how-to/own-metric.md has an example",
    "unlearn_bench.metrics.clustering.clusters": "its decorator hides it from doctest; f1 and nmi show its result",
}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def examples_of(file: Path) -> list[doctest.DocTest]:
    """Returns the docstrings of a module that contain examples, as doctest finds them."""
    tests = doctest.DocTestFinder().find(importlib.import_module(module_name(file)))
    return [test for test in tests if test.examples]


def public_functions(file: Path) -> set[str]:
    """Returns the full names of the public functions that a file defines."""
    functions = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    return {f"{module_name(file)}.{node.name}" for node in functions if not node.name.startswith("_")}


@pytest.mark.parametrize("file", WITH_EXAMPLES, ids=module_name)
def test_the_examples_of_a_module_run(file: Path) -> None:
    tests = examples_of(file)
    count = sum(len(test.examples) for test in tests)
    assert count == file.read_text(encoding="utf-8").count(PROMPT), "doctest does not find every example of the file"
    runner, report = doctest.DocTestRunner(), list[str]()
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_every_public_function_has_an_example() -> None:
    with_example = {test.name for file in DOCUMENTED for test in examples_of(file)}
    functions = {name for file in DOCUMENTED for name in public_functions(file)}
    assert functions - with_example == WITHOUT_EXAMPLE.keys()
