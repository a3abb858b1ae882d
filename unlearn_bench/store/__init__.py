"""The result database: one row a run, written in one transaction, SQLite by default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, joinedload, selectinload

from unlearn_bench.artefacts import is_intact
from unlearn_bench.errors import StoreError
from unlearn_bench.store.database import Database
from unlearn_bench.store.records import (
    Counts,
    Curve,
    MethodRecord,
    MetricRecord,
    ModelRecord,
    NewRun,
    OutputsRecord,
    RunRecord,
    Twin,
)
from unlearn_bench.store.rows import (
    columns,
    model_record,
    outputs_record,
    put_model,
    put_run,
    run_record,
    time_of_asking,
)
from unlearn_bench.store.tables import (
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


class Store(Database):
    """The database of an URL and the folder of checkpoints beside it."""

    @property
    def models_folder(self) -> Path:
        """Where checkpoints lie: ``models/`` beside an SQLite file, else ``results/models`` in the working folder."""
        return self._beside("models")

    @property
    def outputs_folder(self) -> Path:
        """Where features and logits lie, likewise in ``outputs``: who needs the room may delete them."""
        return self._beside("outputs")

    def _beside(self, name: str) -> Path:
        return (self.path.parent if self.path else Path("results")) / name

    def finished(self, keys: Sequence[str]) -> dict[str, tuple[str, set[tuple[str, str]]]]:
        """Returns, of the given run keys, those done or diverged: status and (metric, version) of what is recorded."""
        found: dict[str, tuple[str, set[tuple[str, str]]]] = {}
        with self.session() as session:
            for chunk in _chunks(keys):
                query = select(RunRow.key, RunRow.status, ValueRow.metric, ValueRow.version)
                query = query.outerjoin(ValueRow, ValueRow.run_id == RunRow.id)
                query = query.where(RunRow.key.in_(chunk), RunRow.status != "failed")
                for key, status, metric, version in session.execute(query):
                    found.setdefault(key, (status, set()))[1].update([(metric, version)] if metric else [])
        return found

    def model(self, key: str) -> ModelRecord | None:
        """Returns the weights of that key, or None where nobody has made them."""
        with self.session() as session:
            row = session.scalar(select(ModelRow).where(ModelRow.key == key))
            return model_record(row) if row else None

    def with_weights(self, keys: Sequence[str]) -> set[str]:
        """Returns, of the given model keys, those whose weights lie intact beside the database."""
        found = set()
        with self.session() as session:
            for chunk in _chunks(keys):
                query = select(ModelRow.key, ModelRow.file, ModelRow.file_digest).where(ModelRow.key.in_(chunk))
                rows = session.execute(query).all()
                found |= {
                    key
                    for key, file, digest in rows
                    if file and digest and is_intact(self.models_folder / file, digest)
                }
        return found

    def with_digest(self, digests: Sequence[str]) -> list[Twin]:
        """Returns the runs that are done and whose weights have one of these digests, the oldest first."""
        columns_ = (RunRow.id, RunRow.method, RunRow.options, RunRow.forget, ForgetSetRow.digest, RunRow.seed)
        query = select(ModelRow.weights_digest, *columns_).join(RunRow, RunRow.model_id == ModelRow.id)
        query = query.join(ForgetSetRow, ForgetSetRow.id == RunRow.forget_set_id).where(RunRow.status == "done")
        with self.session() as session:
            found = [
                Twin(*row)
                for chunk in _chunks(sorted(set(digests)))
                for row in session.execute(query.where(ModelRow.weights_digest.in_(chunk)))
            ]
        return sorted(found, key=lambda twin: twin.run)

    def references(self, method: str, forget_digest: str, seed: int) -> list[tuple[str, ModelRecord]]:
        """Returns the models of a reference for a forget set and seed, each once, with a title of its run."""
        query = select(RunRow).options(joinedload(RunRow.model)).join(RunRow.forget_set).order_by(RunRow.id)
        query = query.where(RunRow.method == method, RunRow.seed == seed, ForgetSetRow.digest == forget_digest)
        with self.session() as session:
            rows = {row.model.key: row for row in session.scalars(query) if row.model}
            return [
                (f"run {row.id} ({method}, forget {row.forget}, seed {seed})", model_record(row.model))
                for row in rows.values()
                if row.model
            ]

    def failures(self, keys: Sequence[str]) -> dict[str, datetime]:
        """Returns, of the given run keys, those that failed, with when they did."""
        found: dict[str, datetime] = {}
        with self.session() as session:
            for chunk in _chunks(keys):
                query = select(RunRow.key, RunRow.finished_at).where(RunRow.key.in_(chunk), RunRow.status == "failed")
                found.update((key, finished) for key, finished in session.execute(query))
        return found

    def outputs(self, key: str) -> OutputsRecord | None:
        """Returns where the outputs of that key lie, or None where nobody has made them."""
        with self.session() as session:
            row = session.scalar(select(OutputsRow).where(OutputsRow.key == key))
            return outputs_record(row) if row else None

    def record_model(self, model: ModelRecord) -> None:
        """Writes weights that were made again for a run that starts from them."""
        self.write(lambda session: put_model(session, model))

    def record(self, run: NewRun) -> None:
        """Writes a run with all that belongs to it in one transaction.

        A run of the same key is replaced, but never one that is done by one that failed.
        """
        self.write(lambda session: put_run(session, run))

    def runs(
        self,
        *,
        experiment_key: str | None = None,
        method: str | None = None,
        status: str | None = None,
        dataset: str | None = None,
        forget: str | None = None,
        seed: int | None = None,
        profile: str | None = None,
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Returns the runs that match, newest first."""
        query = select(RunRow).order_by(RunRow.finished_at.desc(), RunRow.id.desc()).limit(limit)
        query = query.options(joinedload(RunRow.dataset), joinedload(RunRow.model), selectinload(RunRow.values))
        query = query.options(joinedload(RunRow.outputs))
        for column, wanted in (
            (RunRow.experiment_key, experiment_key),
            (RunRow.method, method),
            (RunRow.status, status),
            (RunRow.forget, forget),
            (RunRow.seed, seed),
            (RunRow.profile, profile),
        ):
            if wanted is not None:
                query = query.where(column == wanted)
        if dataset is not None:
            query = query.where(RunRow.dataset.has(name=dataset))
        with self.session() as session:
            versions = _metric_versions(session)
            return [run_record(row, versions) for row in session.scalars(query)]

    def run(self, name: str) -> RunRecord:
        """Returns the run of that number, or whose key begins with ``name``, with its curves.

        Raises:
            StoreError: none, or several.
        """
        query = select(RunRow).options(joinedload(RunRow.model).selectinload(ModelRow.curves))
        by_key = query.where(RunRow.key.startswith(name, autoescape=True))
        with self.session() as session:
            is_number = name.isdecimal() and len(name) < 19  # longer ones are beyond any database's integers
            found = list(session.scalars(query.where(RunRow.id == int(name)))) if is_number else []
            found = found or list(session.scalars(by_key.limit(2)))
            if len(found) != 1:
                many = "Several runs have" if found else "No run has"
                raise StoreError(f"{many} the number or key '{name}'. List them with: unlearn-bench runs")
            return run_record(found[0], _metric_versions(session), with_curves=True)

    def ask(self, keys: Sequence[str]) -> None:
        """Notes that a plan asks for these runs, where recorded: of several definitions tables show the last asked."""

        def note(session: Session) -> None:
            now = time_of_asking(session)
            for chunk in _chunks(sorted(keys)):
                session.execute(update(RunRow).where(RunRow.key.in_(chunk)).values(asked_at=now))

        self.write(note)

    def predicted(self, keys: Sequence[str]) -> dict[str, dict[str, Counts]]:
        """Returns, of the given run keys, what each model calls the images, where that is recorded."""
        found: dict[str, dict[str, Counts]] = {}
        with self.session() as session:
            for chunk in _chunks(keys):
                rows = session.execute(select(RunRow.key, RunRow.predicted).where(RunRow.key.in_(chunk)))
                found.update({key: counts for key, counts in rows if counts})
        return found

    def curves(self, keys: Sequence[str], names: Sequence[str]) -> dict[str, Curve]:
        """Returns, of the given run keys, the points of the named curves, in order."""
        found: dict[str, list[tuple[int, str, float]]] = {}
        with self.session() as session:
            for chunk in _chunks(keys):
                query = select(RunRow.key, CurveRow.step, CurveRow.name, CurveRow.value)
                query = query.join(CurveRow, CurveRow.model_id == RunRow.model_id)
                query = query.where(RunRow.key.in_(chunk), CurveRow.name.in_(names)).order_by(CurveRow.id)
                for key, *point in session.execute(query):
                    found.setdefault(key, []).append(tuple(point))  # type: ignore[arg-type]  # three columns
        return {key: tuple(points) for key, points in found.items()}

    def with_outputs(self, keys: Sequence[str]) -> set[str]:
        """Returns, of the given run keys, those whose features and logits lie intact beside the database."""
        found = set()
        with self.session() as session:
            for chunk in _chunks(keys):
                query = select(RunRow.key, OutputsRow.file, OutputsRow.file_digest).join(OutputsRow)
                rows = session.execute(query.where(RunRow.key.in_(chunk)))
                found |= {key for key, file, digest in rows if is_intact(self.outputs_folder / file, digest)}
        return found

    def forget_members(self, key: str) -> bytes:
        """Returns a bit for each training image of a run, eight a byte: whether it belongs to D_f."""
        query = select(ForgetSetRow.members).join(RunRow).where(RunRow.key == key)
        with self.session() as session:
            return session.scalar(query) or b""

    def plugins(self, experiment_key: str) -> list[str]:
        """Returns the names of the plug-in methods that have a run in an experiment, in order."""
        query = select(RunRow.method).distinct().join(MethodRow, MethodRow.name == RunRow.method)
        query = query.where(RunRow.experiment_key == experiment_key, MethodRow.origin != "").order_by(RunRow.method)
        with self.session() as session:
            return list(session.scalars(query))

    def methods(self) -> dict[str, MethodRecord]:
        """Returns what is known of every method that has a run."""
        with self.session() as session:
            return {row.name: MethodRecord(**columns(row)) for row in session.scalars(select(MethodRow))}

    def metrics(self) -> dict[str, MetricRecord]:
        """Returns what is known of every metric that has been measured."""
        with self.session() as session:
            return {row.name: MetricRecord(**columns(row)) for row in session.scalars(select(MetricRow))}

    def class_names(self, experiment_key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns the names of classes and of finer ones of an experiment's newest run's images; none without a run."""
        query = select(DatasetRow).join(RunRow).where(RunRow.experiment_key == experiment_key)
        with self.session() as session:
            row = session.scalar(query.order_by(RunRow.finished_at.desc(), RunRow.id.desc()).limit(1))
            return (tuple(row.classes), tuple(row.fine_classes)) if row else ((), ())

    def count(self) -> int:
        """Returns the number of recorded runs."""
        with self.session() as session:
            return session.scalar(select(func.count()).select_from(RunRow)) or 0


def _metric_versions(session: Session) -> dict[str, str]:
    return {row.name: row.version for row in session.execute(select(MetricRow.name, MetricRow.version))}


def _chunks(keys: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), size):  # databases bound the number of parameters in one statement
        yield keys[start : start + size]
