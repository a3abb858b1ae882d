"""The records that the store reads and writes: frozen data classes without a database session."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from unlearn_bench.core.spec import RunSpec

Status = Literal["done", "failed", "diverged"]
Counts = list[list[int]]  # [true label, predicted label, number of images > 0]
Curve = tuple[tuple[int, str, float], ...]  # (step, name, value)


@dataclass(frozen=True)
class DatasetRecord:
    """A data set as it is used; a subset is a data set of its own."""

    digest: str
    name: str
    train_images: int
    test_images: int
    shape: str
    classes: tuple[str, ...]
    fine_classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodRecord:
    """The metadata of a method for reports. References are ``original`` and ``retrained``; a plug-in has an origin."""

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
    """The metadata of a metric for reports."""

    name: str
    label: str
    unit: str
    better: str
    source: str
    version: str = "1"

    @property
    def heading(self) -> str:
        """Label and unit, as the heading of a column."""
        return f"{self.label} {self.unit}".strip()


@dataclass(frozen=True)
class ComparisonRecord:
    """The metadata of a score of likeness for reports; ``best`` is the value of equal models."""

    name: str
    label: str
    unit: str
    best: float
    source: str
    version: str


@dataclass(frozen=True)
class ModelRecord:
    """The result of making a model: its cost and its file.

    Attributes:
        file: name of the checkpoint in the folder of models; None, like the digests, if the method diverged or failed.
        method_seconds: wall time of the method alone, with the device synchronised before and after.
        samples_seen: number of training images drawn, including repeats.
        forward_images, backward_images: number of images that passed through a classifier (student or teacher), see
            :mod:`unlearn_bench.training.pass_counter`.
        trace_seconds: wall time of measurements while the method ran, not included in ``method_seconds``.
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
    """A run that was found by the digest of its weights."""

    digest: str
    run: int
    method: str
    options: dict[str, Any]
    forget: str
    forget_digest: str
    seed: int

    @property
    def title(self) -> str:
        """A short title of the run."""
        return f"run {self.run} ({self.method}, forget {self.forget}, seed {self.seed})"


@dataclass(frozen=True)
class OutputsRecord:
    """The file of a model's features and logits on all images, in ``outputs/`` beside the database."""

    key: str
    file: str
    file_digest: str


@dataclass(frozen=True)
class Environment:
    """The software and hardware of a run."""

    code_version: str
    packages: dict[str, str]
    machine: str
    device: str


@dataclass(frozen=True)
class NewRun:
    """A finished run, as the runner writes it.

    ``predicted`` counts the predicted labels of the test images of D_r (``retain``), of the training images of D_f
    (``forget``) and, for a backdoor, of the test images with the trigger (``triggered``). ``forget_members`` has one
    bit per training image, eight per byte, highest bit first: whether the image belongs to D_f.
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
    """A recorded run. ``values`` holds values by metric; it is empty unless the run is done."""

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
    requested_at: datetime
    model: ModelRecord | None
    values: dict[str, float] = field(default_factory=dict)
    outputs: OutputsRecord | None = None
    train_images: int = 0
    test_images: int = 0

    @property
    def scenario(self) -> str:
        """The scenario of the forget set, such as ``class``."""
        return str(self.spec["experiment"]["setting"])  # the name from which keys are hashed

    @property
    def is_trial(self) -> bool:
        """Whether the run belongs to a tuning search."""
        experiment = self.spec["experiment"]
        return experiment["held_out"] > 0 or bool(experiment.get("rehearsal"))

    @property
    def revisions(self) -> dict[str, str]:
        """The revisions of the run's model and scenario, by kind; built-in entries of version 1 are left out."""
        return dict(self.spec.get("revisions", {}))

    @property
    def versions(self) -> str:
        """The version of the method and, if recorded, those of model and scenario: ``1, model 1+3f2a…``."""
        method = self.spec["version"].split(", traced by")[0]
        return ", ".join([method, *(f"{kind} {text}" for kind, text in sorted(self.revisions.items()))])
