"""Conversions between records and database rows, in the session of the caller."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from unlearn_bench.store.likeness import give_likeness, take_likeness
from unlearn_bench.store.records import Environment, ModelRecord, NewRun, OutputsRecord, RunRecord
from unlearn_bench.store.tables import (
    Base,
    CurveRow,
    DatasetRow,
    ForgetSetRow,
    MethodRow,
    MetricRow,
    ModelRow,
    OutputsRow,
    RunRow,
    ValueRow,
)


def dataset_of(session: Session, run: NewRun) -> DatasetRow:
    """Returns the row of a run's data set. Adds the row if it is missing."""
    row = session.scalar(select(DatasetRow).where(DatasetRow.digest == run.dataset.digest))
    if row is None:
        names = {"classes": list(run.dataset.classes), "fine_classes": list(run.dataset.fine_classes)}
        row = DatasetRow(**{**asdict(run.dataset), **names})
        session.add(row)
        session.flush()
    return row


def forget_set_of(session: Session, run: NewRun, dataset: DatasetRow) -> ForgetSetRow:
    """Returns the row of a run's forget set. Adds the row if it is missing."""
    identity = {
        "dataset_id": dataset.id,
        "digest": run.spec.forget_digest,
        "scenario": run.spec.experiment.scenario,
    }
    row = session.scalar(select(ForgetSetRow).filter_by(**identity))
    if row is None:
        row = ForgetSetRow(**identity, name=run.spec.forget, images=run.forget_images, members=run.forget_members)
        session.add(row)
        session.flush()
    return row


def _describe(session: Session, row: MetricRow | MethodRow, *, keep: bool) -> None:
    """Writes the metadata of a method or metric; with ``keep``, only if it has no row."""
    if not keep or session.get(type(row), row.name) is None:
        session.merge(row)


def put_model(session: Session, model: ModelRecord, *, keep: bool = False) -> ModelRow:
    """Returns the row of a model. Adds the row if it is missing.

    Overwrites the row if its file differs. With ``keep``, overwrites it only if it has no file.
    """
    fields = asdict(model)
    curves = fields.pop("curves")
    row = session.scalar(select(ModelRow).where(ModelRow.key == model.key))
    if row is None:
        row = ModelRow(**fields)
        session.add(row)
    elif row.file_digest is None or (row.file_digest != model.file_digest and not keep):
        for name, value in fields.items():
            setattr(row, name, value)
    else:
        return row
    row.curves = [CurveRow(step=step, name=name, value=value) for step, name, value in curves]
    session.flush()
    return row


def put_outputs(session: Session, outputs: OutputsRecord, *, keep: bool = False) -> OutputsRow:
    """Returns the row of a model's outputs. Adds the row if it is missing.

    Overwrites the row if its file differs, unless ``keep`` is true.
    """
    row = session.scalar(select(OutputsRow).where(OutputsRow.key == outputs.key))
    if row is not None and keep:
        return row
    if row is None:
        row = OutputsRow(**asdict(outputs))
        session.add(row)
    row.file, row.file_digest = outputs.file, outputs.file_digest
    session.flush()
    return row


def time_of_request(session: Session) -> datetime:
    """Returns the current time, or a time just after the latest recorded request if the clock was set back."""
    now, latest = datetime.now(timezone.utc), session.scalar(select(func.max(RunRow.requested_at)))
    return now if latest is None or latest < now else latest + timedelta(microseconds=1)


def add_values(session: Session, row: RunRow, run: NewRun, names: Collection[str]) -> None:
    """Adds values to a recorded run, from another database's record of the same run."""
    for metric in sorted(run.metrics, key=lambda metric: metric.name):
        if metric.name in names:
            _describe(session, MetricRow(**asdict(metric)), keep=True)
            row.values.append(ValueRow(metric=metric.name, version=metric.version, value=run.values[metric.name]))


def put_run(session: Session, run: NewRun, times: tuple[datetime, datetime] | None = None) -> None:
    """Adds a run and everything that belongs to it. Replaces a run with the same key, but never a done one by another.

    If the weights are the same, recorded values of metrics that ``run`` lacks, for example of a plug-in, are kept, and
    so are scores of likeness.

    Args:
        session: session of the caller.
        run: the run.
        times: for a run of another database, the times at which it was finished and last requested. Existing rows of
            its method, metrics, model and outputs then stay unchanged.
    """
    previous = session.scalar(select(RunRow).where(RunRow.key == run.spec.key))
    if previous and previous.status == "done" and run.status != "done":
        return
    for metric in sorted(run.metrics, key=lambda metric: metric.name):  # always in one order, to avoid deadlocks
        _describe(session, MetricRow(**asdict(metric)), keep=times is not None)
    _describe(session, MethodRow(**asdict(run.method)), keep=times is not None)
    dataset = dataset_of(session, run)
    forget_set = forget_set_of(session, run, dataset)
    before = previous.model.weights_digest if previous and previous.model else None
    model = put_model(session, run.model, keep=times is not None) if run.model else None
    outputs = put_outputs(session, run.outputs, keep=times is not None) if run.outputs else None
    finished, requested = times or (datetime.now(timezone.utc), time_of_request(session))
    same_weights = run.status == "done" and before == (model.weights_digest if model else None)
    kept = _values_not_in(run, previous) if previous and same_weights else []
    likeness = _remove(session, previous, same_weights) if previous else []
    row = RunRow(
        key=run.spec.key,
        experiment_key=run.spec.experiment.key,
        spec=run.spec.canonical,
        profile=run.profile,
        status=run.status,
        error=run.error,
        method=run.method.name,
        options=run.spec.options,
        changed_options=run.changed_options,
        dataset_id=dataset.id,
        forget_set_id=forget_set.id,
        model_id=model.id if model else None,
        outputs_id=outputs.id if outputs else None,
        forget=run.spec.forget,
        seed=run.spec.seed,
        precision=run.spec.experiment.precision,
        evaluation_seconds=run.evaluation_seconds,
        predicted=run.predicted,
        finished_at=finished,
        requested_at=requested,
        **asdict(run.environment),
    )
    versions = {metric.name: metric.version for metric in run.metrics}
    row.values = kept + [
        ValueRow(metric=name, version=versions.get(name, ""), value=value) for name, value in run.values.items()
    ]
    session.add(row)
    session.flush()
    give_likeness(session, likeness, row.id)


def _remove(session: Session, run: RunRow, keeps_likeness: bool) -> list[dict[str, Any]]:
    """Deletes a run that is about to be replaced, and returns its scores of likeness if the new run keeps them."""
    likeness = take_likeness(session, run.id) if keeps_likeness else []
    session.delete(run)
    session.flush()
    return likeness


def _values_not_in(run: NewRun, previous: RunRow) -> list[ValueRow]:
    return [
        ValueRow(metric=value.metric, version=value.version, value=value.value)
        for value in previous.values
        if value.metric not in run.values
    ]


def outputs_record(row: OutputsRow) -> OutputsRecord:
    """Returns the record of a model's outputs."""
    return OutputsRecord(row.key, row.file, row.file_digest)


def columns(row: Base) -> dict[str, Any]:
    """Returns the columns of a row by name."""
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def model_record(row: ModelRow, with_curves: bool = False) -> ModelRecord:
    """Returns the record of a model. Reads its curves from the database only with ``with_curves``."""
    fields = columns(row)
    del fields["id"]
    curves = tuple((point.step, point.name, point.value) for point in row.curves) if with_curves else ()
    return ModelRecord(**fields, curves=curves)


def run_record(row: RunRow, versions: Mapping[str, str], with_curves: bool = False) -> RunRecord:
    """Returns the record of a run. Includes only values of the version that is recorded for their metric."""
    return RunRecord(
        id=row.id,
        key=row.key,
        spec=row.spec,
        profile=row.profile,
        status=row.status,  # type: ignore[arg-type]  # written from the same literal
        error=row.error,
        method=row.method,
        options=row.options,
        changed_options=row.changed_options,
        dataset=row.dataset.name,
        dataset_digest=row.dataset.digest,
        forget=row.forget,
        seed=row.seed,
        environment=Environment(row.code_version, row.packages, row.machine, row.device),
        precision=row.precision,
        evaluation_seconds=row.evaluation_seconds,
        finished_at=row.finished_at,
        requested_at=row.requested_at,
        model=model_record(row.model, with_curves) if row.model else None,
        outputs=outputs_record(row.outputs) if row.outputs else None,
        train_images=row.dataset.train_images,
        test_images=row.dataset.test_images,
        values={value.metric: value.value for value in row.values if value.version == versions[value.metric]},
    )
