"""The layout of the package: who may import whom, as ``core/layers.py`` states it, and how long files are."""

import ast
from pathlib import Path

import pytest

from unlearn_bench.core.layers import LAYERS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "unlearn_bench"
FILES = sorted(PACKAGE.rglob("*.py"))
BY_NAME = {layer.name: layer for layer in LAYERS}
FACE = {"__init__", "__main__"}  # the modules beside the layers, which are their face
HEAVY = {"torch", "torchvision", "sklearn", "pandas"}


def layer_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(file: Path) -> set[str]:
    """Returns the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{file} imports relative to itself"
            # a name may be a module: `from unlearn_bench.models import outputs`
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_folder_is_a_layer_and_every_arrow_points_down() -> None:
    assert {layer_of(file) for file in FILES} - FACE == set(BY_NAME)
    before: set[str] = set()
    for layer in LAYERS:
        assert set(layer.imports) <= before, f"{layer.name} imports a layer that stands below it in the table"
        before.add(layer.name)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_imports_what_its_layer_may(file: Path) -> None:
    name = layer_of(file)
    if name in FACE:
        return
    layer = BY_NAME[name]
    used = imports(file)
    own = {used_name.split(".")[1] for used_name in used if used_name.startswith("unlearn_bench.")} & set(BY_NAME)
    assert own <= {"core", name, *layer.imports}, f"{name} imports {own - {'core', name, *layer.imports}}"
    libraries = {used_name.split(".")[0] for used_name in used}
    for other in LAYERS:
        alien = libraries & set(other.libraries) - set(layer.libraries)
        assert not alien, f"{name} imports {alien}, which is for {other.name}"
    if layer.torch_free:
        assert not libraries & HEAVY


def test_no_layer_is_allowed_what_it_does_not_need() -> None:
    needed: dict[str, set[str]] = {name: set() for name in BY_NAME}
    for file in FILES:
        if (name := layer_of(file)) not in FACE:
            parts = {used.split(".")[1] for used in imports(file) if used.startswith("unlearn_bench.")}
            needed[name] |= parts & set(BY_NAME)
    for layer in LAYERS:
        assert set(layer.imports) <= needed[layer.name], f"{layer.name} does not import all of {layer.imports}"


def test_methods_and_metrics_do_not_know_each_other() -> None:
    siblings = {f"unlearn_bench.methods.{path.stem}" for path in (PACKAGE / "methods").glob("*.py")}
    shared = {"unlearn_bench.methods.hyperparameters", "unlearn_bench.methods.recipe"}  # no methods
    for file in (PACKAGE / "methods").glob("*.py"):
        assert not imports(file) & siblings - shared, file.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_functions_are_short_enough_to_read(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or 0) - first.lineno + 1
            assert length <= 45, f"{node.name} has {length} lines"


@pytest.mark.parametrize("folder", ["unlearn_bench", "tests", "benchmarks", "docs"])
def test_files_are_short_enough_to_read(folder: str) -> None:
    lengths = {file: len(file.read_text().splitlines()) for file in (ROOT / folder).rglob("*.py")}
    assert {str(file): length for file, length in lengths.items() if length > 300} == {}
