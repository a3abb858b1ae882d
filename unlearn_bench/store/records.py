"""What the store takes and gives: frozen records without a database in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from unlearn_bench.spec import RunSpec

Status = Literal["done", "failed", "diverged"]
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


@dataclass(frozen=True)
class MethodRecord:
    """What reports need to know of a method; references are ``original`` and ``retrained``."""

    name: str
    label: str
    train_set: str
    source: str
    is_reference: bool


@dataclass(frozen=True)
class MetricRecord:
    """What reports need to know of a metric."""

    name: str
    label: str
    unit: str
    better: str
    source: str
    version: int = 1


@dataclass(frozen=True)
class ModelRecord:
    """Trained weights: file name beside the database, digests, cost."""

    key: str
    file: str
    file_digest: str
    weights_digest: str
    parameters: int
    method_seconds: float
    samples_seen: int
    peak_memory_bytes: int | None
    curves: Curve = ()


@dataclass(frozen=True)
class Environment:
    """What a run ran on."""

    code_version: str
    packages: dict[str, str]
    machine: str
    device: str


@dataclass(frozen=True)
class NewRun:
    """A finished run, as the runner hands it over."""

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
    model: ModelRecord | None
    values: dict[str, float] = field(default_factory=dict)
