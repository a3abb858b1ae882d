"""Who may import whom: the README's "Layers" section, held by a walk over the imports."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "unlearn_bench"

# a part may import those before it, and those it names beside
ORDER = [
    "errors", "progress", "registry", "options", "spec", "processes", "logbook", "artefacts", "yaml_files", "pinned",
    "kernels", "isolation",
    "journal", "data", "inputs", "models", "budget", "curvature", "kmeans", "logistic", "training", "recipe", "outputs",
    "checkpoints",
    "methods", "metrics", "expectations", "config", "selection", "tuned", "store", "report",
    "guards", "environment", "conformance", "tasks", "evaluation", "runner", "plan", "executors", "auditing",
    "catalogue", "bench", "doctor", "verdicts", "pages", "regression", "trials", "tuning", "tracking", "api",
    "terminal", "cli",
]  # fmt: skip
TORCH_FREE = {
    "errors", "progress", "registry", "options", "spec", "processes", "logbook", "artefacts", "yaml_files", "pinned",
    "expectations", "config", "selection", "tuned", "store", "report", "terminal",
}  # fmt: skip
ONLY_IN = {
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "typer": {"cli"},
    "rich": {"terminal"},
    "yaml": {"yaml_files", "expectations", "tuned"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(file: Path, at_start: bool) -> set[str]:
    """Returns the modules that a file imports: at its start alone, or anywhere."""
    tree = ast.parse(file.read_text())
    nodes = list(tree.body) if at_start else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{file} imports relative to itself"
            # a name may be a module: `from unlearn_bench import runner` imports unlearn_bench.runner
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_lower_never_imports_higher(file: Path) -> None:
    part = part_of(file)
    if part in ("__init__", "__main__"):
        return
    allowed = set(ORDER[: ORDER.index(part) + 1])
    own = {name.split(".")[1] for name in imports(file, at_start=False) if name.startswith("unlearn_bench.")}
    own &= set(ORDER)  # the others are names of the package itself, such as its version
    assert own <= allowed, f"{part} imports {own - allowed}"
    if part == "methods":
        assert not {name for name in imports(file, False) if name.startswith("unlearn_bench.metrics")}
        siblings = {f"unlearn_bench.methods.{path.stem}" for path in (PACKAGE / "methods").glob("*.py")}
        assert not imports(file, False) & siblings - {"unlearn_bench.methods.hyperparameters"}
    if part == "metrics":
        found = {name for name in imports(file, False) if name.startswith(("unlearn_bench.m", "unlearn_bench.data"))}
        assert all(name.startswith("unlearn_bench.metrics") for name in found)
    for library, places in ONLY_IN.items():
        if part not in places:
            assert library not in {name.split(".")[0] for name in imports(file, False)}, library
    if part in TORCH_FREE:
        assert not {name.split(".")[0] for name in imports(file, False)} & {"torch", "torchvision", "sklearn", "pandas"}


def test_every_part_has_its_place() -> None:
    assert {part_of(file) for file in FILES} - {"__init__", "__main__"} == set(ORDER)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_are_short_enough_to_read(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 300
