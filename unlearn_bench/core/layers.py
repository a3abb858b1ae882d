"""The folders of the package in the order in which they may import each other.

This table is the only statement of that order: ``tests/test_layout.py`` enforces it, and the documentation prints it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A folder of the package, or a module beside the folders.

    Attributes:
        name: name of the folder or module.
        purpose: what belongs in it.
        imports: layers that its files may import. Every layer may also import itself and ``core``.
        libraries: packages that only this layer, and other layers that list them, may import.
        torch_free: whether its files must not import torch, torchvision, scikit-learn or pandas at module level.
            Reports import only such layers, so they start quickly.
    """

    name: str
    purpose: str
    imports: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    torch_free: bool = False


LAYERS = (
    Layer(
        "core",
        "errors, registry, options, run identity, files, logs: shared by every layer",
        (),
        ("yaml", "fsspec"),
        True,
    ),
    Layer("numerics", "pure functions of tensors"),
    Layer("config", "what is measured: benchmarks.yaml and related files, read and validated", (), ("yaml",), True),
    Layer("data", "images: readers, scenarios, mini-batches"),
    Layer("store", "the result database: one row per run", (), ("sqlalchemy", "alembic"), True),
    Layer("models", "networks, their weights, features and logits", ("data",)),
    Layer("training", "the training loop and its monitoring", ("data", "models")),
    Layer("report", "builds tables, figures and pages from recorded runs", ("config", "store"), torch_free=True),
    Layer("methods", "unlearning methods, one per file", ("numerics", "data", "models", "training")),
    Layer("metrics", "metrics, one family per file", ("numerics", "models")),
    Layer(
        "running",
        "finds the runs that a table needs and makes them",
        ("config", "data", "store", "models", "training", "report", "methods", "metrics"),
    ),
    Layer(
        "auditing",
        "measures, judges and reports a model that was made outside this project",
        ("data", "models", "training", "report", "metrics", "running"),
    ),
    Layer(
        "checks",
        "checks methods (conformance), recorded values (regression) and the installation (doctor)",
        ("numerics", "config", "data", "store", "models", "training", "report", "methods", "running"),
    ),
    Layer(
        "api",
        "the Python API",
        ("config", "data", "store", "training", "report", "metrics", "running", "auditing"),
    ),
    Layer(
        "cli",
        "the command line: parses arguments, calls one function, prints the result",
        (
            *("config", "data", "store", "models", "training", "report", "methods", "metrics", "running"),
            *("auditing", "checks"),
        ),
        ("typer", "rich"),
    ),
)
