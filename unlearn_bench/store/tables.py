"""The tables of the result database. Private to the store; other code uses frozen records."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

DIGEST = String(64)
COUNT = BigInteger().with_variant(Integer, "sqlite")  # counts exceed 2³¹; SQLite's integers have 64 bits
# the sqlite3 shell has foreign keys off: a row deleted there leaves children, which must not get a new parent
NO_REUSE = {"sqlite_autoincrement": True}


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC, stored without its zone, because PostgreSQL would convert it to the zone of the server."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Returns the value to store."""
        return value.astimezone(timezone.utc).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Returns the value that is read, in UTC."""
        return value.replace(tzinfo=timezone.utc) if value else None


class Base(DeclarativeBase):
    """The base class of all tables."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON}


class DatasetRow(Base):
    """A data set as it is used; a subset is a data set of its own."""

    __tablename__ = "datasets"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(DIGEST, unique=True)
    name: Mapped[str]
    train_images: Mapped[int]
    test_images: Mapped[int]
    shape: Mapped[str]
    classes: Mapped[list[str]]
    fine_classes: Mapped[list[str]]


class ForgetSetRow(Base):
    """A forget set of a data set; ``digest`` is the hash of its sorted positions."""

    __tablename__ = "forget_sets"
    __table_args__ = (UniqueConstraint("dataset_id", "digest", "scenario"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    digest: Mapped[str] = mapped_column(DIGEST)
    scenario: Mapped[str]
    name: Mapped[str]
    images: Mapped[int]
    members: Mapped[bytes] = mapped_column(deferred=True)  # one bit per training image


class OutputsRow(Base):
    """A model's features and logits on all images of a data set: their file and its SHA-256."""

    __tablename__ = "outputs"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(DIGEST, unique=True)
    file: Mapped[str]
    file_digest: Mapped[str] = mapped_column(DIGEST)


class ModelRow(Base):
    """A model: cost, file and SHA-256. There is no file if the method diverged or failed."""

    __tablename__ = "models"
    __table_args__ = NO_REUSE
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(DIGEST, unique=True)
    file: Mapped[str | None]
    file_digest: Mapped[str | None] = mapped_column(DIGEST)
    weights_digest: Mapped[str | None] = mapped_column(DIGEST)
    parameters: Mapped[int] = mapped_column(COUNT)
    method_seconds: Mapped[float]
    samples_seen: Mapped[int] = mapped_column(COUNT)
    forward_images: Mapped[int] = mapped_column(COUNT)
    backward_images: Mapped[int] = mapped_column(COUNT)
    peak_memory_bytes: Mapped[int | None] = mapped_column(COUNT)
    trace_seconds: Mapped[float]
    curves: Mapped[list[CurveRow]] = relationship(cascade="all, delete-orphan", order_by="CurveRow.id")


class LeaseRow(Base):
    """A model that a process is making. The owner increases ``heartbeat``, a counter, while it runs."""

    __tablename__ = "leases"
    key: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    owner: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    heartbeat: Mapped[int]


class MethodRow(Base):
    """The metadata of a method, so that reports need only the database."""

    __tablename__ = "methods"
    name: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    train_set: Mapped[str]
    source: Mapped[str]
    is_reference: Mapped[bool]
    origin: Mapped[str]  # file or package of a plug-in
    is_cheat: Mapped[bool]
    makes_inputs: Mapped[bool]  # generates its own inputs, so its inputs are not checked


class MetricRow(Base):
    """The metadata of a metric, so that reports need only the database."""

    __tablename__ = "metrics"
    name: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    unit: Mapped[str]
    better: Mapped[str]
    source: Mapped[str]
    version: Mapped[str]


class RunRow(Base):
    """One run: a method on a configuration. ``key`` is the hash of the canonical spec."""

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_experiment_method", "experiment_key", "method"), NO_REUSE)
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(DIGEST, unique=True)
    experiment_key: Mapped[str] = mapped_column(DIGEST)
    spec: Mapped[dict[str, Any]]
    profile: Mapped[str]
    status: Mapped[str]
    error: Mapped[str | None]
    method: Mapped[str] = mapped_column(ForeignKey("methods.name"))
    options: Mapped[dict[str, Any]]
    changed_options: Mapped[dict[str, Any]]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    forget_set_id: Mapped[int] = mapped_column(ForeignKey("forget_sets.id"))
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    outputs_id: Mapped[int | None] = mapped_column(ForeignKey("outputs.id"))
    forget: Mapped[str]
    seed: Mapped[int]
    code_version: Mapped[str]
    packages: Mapped[dict[str, Any]]
    machine: Mapped[str]
    device: Mapped[str]
    precision: Mapped[str]
    evaluation_seconds: Mapped[float]
    predicted: Mapped[dict[str, Any]] = mapped_column(deferred=True)  # only the view by class reads it
    finished_at: Mapped[datetime] = mapped_column(UtcTime)
    requested_at: Mapped[datetime] = mapped_column(UtcTime)  # tables use the last requested of several definitions
    dataset: Mapped[DatasetRow] = relationship()
    model: Mapped[ModelRow | None] = relationship()
    outputs: Mapped[OutputsRow | None] = relationship()
    forget_set: Mapped[ForgetSetRow] = relationship()
    values: Mapped[list[ValueRow]] = relationship(cascade="all, delete-orphan", passive_deletes=True)


class ValueRow(Base):
    """A metric's value at full precision, in the metric's own unit."""

    __tablename__ = "metric_values"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    metric: Mapped[str] = mapped_column(ForeignKey("metrics.name"), primary_key=True)
    version: Mapped[str]  # version of the metric's definition
    value: Mapped[float]


class ComparisonRow(Base):
    """The metadata of a score of likeness, so that reports need only the database."""

    __tablename__ = "comparisons"
    name: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    unit: Mapped[str]
    best: Mapped[float] = mapped_column(Double)
    source: Mapped[str]
    version: Mapped[str]


class LikenessRow(Base):
    """How alike the models of two runs are by one score, at full precision, in the score's own unit."""

    __tablename__ = "likeness"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    reference_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, index=True)
    comparison: Mapped[str] = mapped_column(ForeignKey("comparisons.name"), primary_key=True)
    version: Mapped[str]  # version of the score's definition
    value: Mapped[float | None] = mapped_column(Double)


class CurveRow(Base):
    """A point of a curve recorded while a model was made."""

    __tablename__ = "curves"
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    step: Mapped[int]
    name: Mapped[str]
    value: Mapped[float]
