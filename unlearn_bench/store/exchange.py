"""Exports runs to a Parquet or CSV file, which pandas can also read, and imports the former into another database.

A row is a run. It has columns for the run's identity, one column per metric, and in Parquet the complete record as
JSON. It contains names and SHA-256 of checkpoints and outputs, but not these files themselves; commands that need one
make it again.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload, undefer

from unlearn_bench.core.errors import StoreError
from unlearn_bench.core.files import atomic_write
from unlearn_bench.core.plain_text import inert
from unlearn_bench.store import Store
from unlearn_bench.store.foreign import FORMAT, read_runs
from unlearn_bench.store.records import NewRun
from unlearn_bench.store.rows import add_values, columns, model_record, outputs_record, put_run
from unlearn_bench.store.tables import MethodRow, MetricRow, ModelRow, RunRow

OnConflict = Literal["keep", "replace", "refuse"]
TEXTS = ("key", "status", "method", "dataset", "forget", "profile")  # the first columns of a file
STARTS = {".parquet": b"PAR1", ".csv": ",".join(TEXTS).encode()}  # the beginning of a file, by its ending


@dataclass(frozen=True)
class Conflict:
    """A run whose values differ between the two databases: its key, a title, and the differences as text."""

    key: str
    run: str
    differs: str


@dataclass
class Merged:
    """The result of an import, as numbers of runs.

    Attributes:
        added: runs that were new.
        unchanged: runs that were recorded with the same values.
        extended: runs that were recorded with the same values and got more metrics.
        replaced: conflicts in which the imported run replaced the recorded one.
        conflicts: runs that were recorded with other values.
    """

    added: int = 0
    unchanged: int = 0
    extended: int = 0
    replaced: int = 0
    conflicts: list[Conflict] = field(default_factory=list)


def check_target(file: Path) -> None:
    """Checks that runs can be exported to a file.

    Raises:
        StoreError: the name ends neither in .parquet nor in .csv, or the file exists and is not such a file.
    """
    kind = file.suffix.lower()
    if kind not in STARTS:
        raise StoreError(
            f"Runs cannot be exported to '{file.name}': its name must end in .parquet, which `import` reads, or .csv."
        )
    if file.is_file():
        with file.open("rb") as stream:
            if stream.read(len(STARTS[kind])) != STARTS[kind]:
                raise StoreError(f"{file} exists and is not a {kind[1:]} file of runs. Choose another file.")


def export_runs(store: Store, file: Path) -> int:
    """Writes every run to a Parquet or CSV file, by the ending of its name, and returns the number of runs.

    Only a Parquet file has the complete records, which :func:`import_runs` needs.

    Raises:
        FileError: the file cannot be written.
        StoreError: see :func:`check_target`.
    """
    check_target(file)
    with store.session() as session:
        methods = {row.name: row for row in session.scalars(select(MethodRow))}
        metrics = {row.name: row for row in session.scalars(select(MetricRow))}
        query = select(RunRow).order_by(RunRow.id).options(undefer(RunRow.predicted), joinedload(RunRow.dataset))
        query = query.options(joinedload(RunRow.outputs), selectinload(RunRow.values), joinedload(RunRow.forget_set))
        query = query.options(joinedload(RunRow.model).selectinload(ModelRow.curves))
        rows = [_flat(row, methods, metrics) for row in session.scalars(query).unique()]
    with atomic_write(file) as part:
        (_write_csv if file.suffix.lower() == ".csv" else _write_parquet)(rows, sorted(metrics), part)
    return len(rows)


def _write_parquet(rows: Sequence[dict[str, Any]], metrics: Sequence[str], file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [*((name, pa.string()) for name in TEXTS), ("seed", pa.int64())]
    fields += [("finished_at", pa.string()), ("record", pa.string()), *((name, pa.float64()) for name in metrics)]
    pq.write_table(pa.Table.from_pylist(list(rows), pa.schema(fields, {"format": FORMAT})), file)


def _write_csv(rows: Sequence[dict[str, Any]], metrics: Sequence[str], file: Path) -> None:
    names = [*TEXTS, "seed", "finished_at", *metrics]
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: inert(row.get(name)) for name in names} for row in rows)


def import_runs(store: Store, file: Path, on_conflict: OnConflict = "keep") -> Merged:
    """Adds the runs of a file that :func:`export_runs` wrote, all of them or none.

    A run that is recorded with the same values stays as it is, and gets the metrics that only the file has. In a
    conflict, ``on_conflict`` decides whether the recorded run is kept or replaced. A run that is done is never replaced
    by one that is not.

    Raises:
        StoreError: not a file of runs, a run whose key does not match its content, or a conflict with
            ``on_conflict="refuse"``.
    """
    runs = list(read_runs(file))

    def merge(session: Session) -> Merged:
        merged = Merged()
        for run, times in runs:
            ours = session.scalar(select(RunRow).where(RunRow.key == run.spec.key))
            if ours is None:
                merged.added += 1
            else:
                differs = _difference(ours, run)
                if differs:
                    merged.conflicts.append(Conflict(run.spec.key, _named(run), differs))
                    if on_conflict != "replace" or (ours.status == "done" and run.status != "done"):
                        continue  # never replace a run that is done by one that is not
                    merged.replaced += 1
                else:
                    more = run.values.keys() - {value.metric for value in ours.values}
                    add_values(session, ours, run, more)
                    merged.extended += bool(more)
                    merged.unchanged += not more
                    continue
            put_run(session, run, times)
            session.flush()
        if merged.conflicts and on_conflict == "refuse":
            first = merged.conflicts[0]
            raise StoreError(
                f"{len(merged.conflicts)} runs of {file.name} differ from the recorded runs. The first is {first.run}: "
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
        "requested_at": row.requested_at.isoformat(),
    }
    return {
        **{name: getattr(row, name) for name in ("key", "status", "method", "forget", "profile", "seed")},
        "dataset": row.dataset.name,
        "finished_at": row.finished_at.isoformat(),
        "record": json.dumps(record, ensure_ascii=False, allow_nan=False),
        **{name: value.value for name, value in values.items()},
    }


def _difference(ours: RunRow, theirs: NewRun) -> str:
    """Returns the differences between two records of one run as text; empty if there are none."""
    if ours.status != theirs.status:
        return f"{ours.status} here, {theirs.status} there"
    versions = {metric.name: metric.version for metric in theirs.metrics}
    pairs = [
        (value.metric, value.value, theirs.values[value.metric])
        for value in ours.values
        if value.metric in theirs.values and value.version == versions[value.metric]
    ]
    different = [f"{name} {own:.6g} here, {other:.6g} there" for name, own, other in pairs if own != other]
    return ", ".join(different)


def _named(run: NewRun) -> str:
    return f"{run.spec.method}, {run.dataset.name}, forget {run.spec.forget}, seed {run.spec.seed}"
