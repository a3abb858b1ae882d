"""What the store takes and gives: frozen records without a database in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from unlearn_bench.spec import RunSpec

Status = Literal["done", "failed", "diverged"]
Counts = list[list[int]]  # [true label, predicted label, number of images], no zeros
Curve = tuple[tuple[int, str, float], ...]  # (step, name, value)


@dataclass(frozen=True)
class DatasetRecord:
    """A data set as used."""

    digest: str
    name: str
    train_images: int
    test_images: int
    shape: str
    classes: tuple[str, ...]
    fine_classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodRecord:
    """What reports need to know of a method; references are ``original`` and ``retrained``, a plug-in has an origin."""

    name: str
    label: str
    train_set: str
    source: str
    is_reference: bool
    origin: str = ""
    is_cheat: bool = False
    makes_inputs: bool = False


@dataclass(frozen=True)
class MetricRecord:
    """What reports need to know of a metric."""

    name: str
    label: str
    unit: str
    better: str
    source: str
    version: str = "1"

    @property
    def heading(self) -> str:
        """Label and unit, as a column has them."""
        return f"{self.label} {self.unit}".strip()


@dataclass(frozen=True)
class ModelRecord:
    """An attempt at weights: what it cost, and where they lie.

    Attributes:
        file: name beside the database; None, as the digests are, where the attempt diverged or failed.
        method_seconds: wall time of the method alone, the device synchronised on both sides.
        samples_seen: training images drawn, repeats counted.
        forward_images, backward_images: images that passed a classifier (student, teacher), see
            :mod:`unlearn_bench.budget`.
        trace_seconds: wall time of measuring the network while the method ran, no part of ``method_seconds``.
    """

    key: str
    file: str | None
    file_digest: str | None
    weights_digest: str | None
    parameters: int
    method_seconds: float
    samples_seen: int
    forward_images: int
    backward_images: int
    peak_memory_bytes: int | None
    trace_seconds: float = 0.0
    curves: Curve = ()


@dataclass(frozen=True)
class Twin:
    """A run whose weights are wanted by their digest."""

    digest: str
    run: int
    method: str
    options: dict[str, Any]
    forget: str
    forget_digest: str
    seed: int

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"run {self.run} ({self.method}, forget {self.forget}, seed {self.seed})"


@dataclass(frozen=True)
class OutputsRecord:
    """Where a model's features and logits on all images lie: a file in ``outputs/`` beside the database."""

    key: str
    file: str
    file_digest: str


@dataclass(frozen=True)
class Environment:
    """What a run ran on."""

    code_version: str
    packages: dict[str, str]
    machine: str
    device: str


@dataclass(frozen=True)
class NewRun:
    """A finished run, as the runner hands it over.

    ``predicted`` counts what the model calls the test images of D_r (``retain``), the training images of D_f
    (``forget``) and, of a backdoor, the test images with the trigger (``triggered``). ``forget_members`` is a bit for
    each training image, eight a byte, the first one the highest: whether it belongs to D_f.
    """

    spec: RunSpec
    profile: str
    status: Status
    error: str | None
    changed_options: dict[str, Any]
    dataset: DatasetRecord
    forget_images: int
    method: MethodRecord
    metrics: tuple[MetricRecord, ...]
    values: dict[str, float]
    model: ModelRecord | None
    environment: Environment
    evaluation_seconds: float
    predicted: dict[str, Counts] = field(default_factory=dict)
    outputs: OutputsRecord | None = None
    forget_members: bytes = b""


@dataclass(frozen=True)
class RunRecord:
    """A recorded run. ``values`` maps metric to value and is empty unless the run is done."""

    id: int
    key: str
    spec: dict[str, Any]
    profile: str
    status: Status
    error: str | None
    method: str
    options: dict[str, Any]
    changed_options: dict[str, Any]
    dataset: str
    dataset_digest: str
    forget: str
    seed: int
    environment: Environment
    precision: str
    evaluation_seconds: float
    finished_at: datetime
    asked_at: datetime
    model: ModelRecord | None
    values: dict[str, float] = field(default_factory=dict)
    outputs: OutputsRecord | None = None
    train_images: int = 0
    test_images: int = 0
