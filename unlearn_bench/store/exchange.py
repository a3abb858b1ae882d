"""Runs from one database to another, through a Parquet file that pandas can read too.

A row is a run. Beside its identity and its metrics, a column each, stands all that the record holds of it, as JSON.
Checkpoints and outputs stay where they are: their names and SHA-256 travel, and what needs them makes them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload, undefer

from unlearn_bench.artefacts import durable
from unlearn_bench.errors import StoreError
from unlearn_bench.store import Store
from unlearn_bench.store.foreign import FORMAT, read_runs
from unlearn_bench.store.records import NewRun
from unlearn_bench.store.rows import add_values, columns, model_record, outputs_record, put_run
from unlearn_bench.store.tables import MethodRow, MetricRow, ModelRow, RunRow

OnConflict = Literal["keep", "replace", "refuse"]


@dataclass(frozen=True)
class Conflict:
    """A run that both databases hold with other values: its key, what it is, and where they differ."""

    key: str
    run: str
    differs: str


@dataclass
class Merged:
    """What became of a file's runs: how many were new, known with the same values, known with fewer metrics.

    ``replaced`` counts the conflicts in which theirs took the place of ours.
    """

    added: int = 0
    known: int = 0
    extended: int = 0
    replaced: int = 0
    conflicts: list[Conflict] = field(default_factory=list)


def export_runs(store: Store, file: Path) -> int:
    """Writes every run to a Parquet file, and returns how many.

    Raises:
        FileError: the file cannot be written.
        StoreError: it is there already, and no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.is_file():
        with file.open("rb") as there:
            if there.read(4) != b"PAR1":
                raise StoreError(f"{file} is there already and is no Parquet file. Name another one.")
    with store.session() as session:
        methods = {row.name: row for row in session.scalars(select(MethodRow))}
        metrics = {row.name: row for row in session.scalars(select(MetricRow))}
        query = select(RunRow).order_by(RunRow.id).options(undefer(RunRow.predicted), joinedload(RunRow.dataset))
        query = query.options(joinedload(RunRow.outputs), selectinload(RunRow.values), joinedload(RunRow.forget_set))
        query = query.options(joinedload(RunRow.model).selectinload(ModelRow.curves))
        rows = [_flat(row, methods, metrics) for row in session.scalars(query).unique()]
    fields = [*((name, pa.string()) for name in ("key", "status", "method", "dataset", "forget", "profile"))]
    fields += [("seed", pa.int64()), ("finished_at", pa.string()), ("record", pa.string())]
    fields += [(name, pa.float64()) for name in sorted(metrics)]
    table = pa.Table.from_pylist(rows, pa.schema(fields, {"format": FORMAT}))
    with durable(file) as part:
        pq.write_table(table, part)
    return len(rows)


def import_runs(store: Store, file: Path, on_conflict: OnConflict = "keep") -> Merged:
    """Adds the runs of a file that :func:`export_runs` wrote, all of them or none.

    A run that is known with the same values is left alone; of one that has more metrics than ours these are added. Of
    a conflict ours is kept, or replaced by theirs, but not what is done by what is not.

    Raises:
        StoreError: not such a file, a run whose key is not that of its contents, or a conflict that is refused.
    """
    runs = list(read_runs(file))

    def merge(session: Session) -> Merged:
        merged = Merged()
        for run, made in runs:
            ours = session.scalar(select(RunRow).where(RunRow.key == run.spec.key))
            if ours is None:
                merged.added += 1
            else:
                differs = _difference(ours, run)
                if differs:
                    merged.conflicts.append(Conflict(run.spec.key, _named(run), differs))
                    if on_conflict != "replace" or (ours.status == "done" and run.status != "done"):
                        continue  # what is done is never given up for what is not
                    merged.replaced += 1
                else:
                    more = run.values.keys() - {value.metric for value in ours.values}
                    add_values(session, ours, run, more)
                    merged.extended += bool(more)
                    merged.known += not more
                    continue
            put_run(session, run, made)
            session.flush()
        if merged.conflicts and on_conflict == "refuse":
            first = merged.conflicts[0]
            raise StoreError(
                f"{len(merged.conflicts)} runs of {file.name} differ from those here, first {first.run}: "
                f"{first.differs}. Nothing was imported. Choose --on-conflict keep or replace."
            )
        return merged

    return store.write(merge)


def _flat(row: RunRow, methods: Mapping[str, MethodRow], metrics: Mapping[str, MetricRow]) -> dict[str, Any]:
    """Returns a run as a row of the file."""
    dataset = {name: value for name, value in columns(row.dataset).items() if name != "id"}
    values = {value.metric: value for value in row.values}
    record = {
        "spec": row.spec,
        "error": row.error,
        "changed_options": row.changed_options,
        "dataset": dataset,
        "forget_images": row.forget_set.images,
        "forget_members": row.forget_set.members.hex(),
        "method": columns(methods[row.method]),
        "metrics": [{**columns(metrics[name]), "version": value.version} for name, value in values.items()],
        "model": asdict(model_record(row.model, with_curves=True)) if row.model else None,
        "outputs": asdict(outputs_record(row.outputs)) if row.outputs else None,
        "environment": {name: getattr(row, name) for name in ("code_version", "packages", "machine", "device")},
        "evaluation_seconds": row.evaluation_seconds,
        "predicted": row.predicted,
        "asked_at": row.asked_at.isoformat(),
    }
    return {
        **{name: getattr(row, name) for name in ("key", "status", "method", "forget", "profile", "seed")},
        "dataset": row.dataset.name,
        "finished_at": row.finished_at.isoformat(),
        "record": json.dumps(record, ensure_ascii=False, allow_nan=False),
        **{name: value.value for name, value in values.items()},
    }


def _difference(ours: RunRow, theirs: NewRun) -> str:
    """Returns where two records of one run differ, in words; empty where they do not."""
    if ours.status != theirs.status:
        return f"{ours.status} here, {theirs.status} there"
    versions = {metric.name: metric.version for metric in theirs.metrics}
    pairs = [
        (value.metric, value.value, theirs.values[value.metric])
        for value in ours.values
        if value.metric in theirs.values and value.version == versions[value.metric]
    ]
    different = [f"{name} {one:.6g} here, {other:.6g} there" for name, one, other in pairs if one != other]
    return ", ".join(different)


def _named(run: NewRun) -> str:
    return f"{run.spec.method}, {run.dataset.name}, forget {run.spec.forget}, seed {run.spec.seed}"
