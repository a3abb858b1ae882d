"""The result database: one row per run, written in one transaction. SQLite by default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, joinedload, selectinload

from unlearn_bench.core.errors import StoreError
from unlearn_bench.store.locations import LocatedDatabase
from unlearn_bench.store.records import (
    Counts,
    Curve,
    DatasetRecord,
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
    time_of_request,
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


class Store(LocatedDatabase):
    """The database of a URL, and the checkpoints and outputs of its runs."""

    def finished(self, keys: Sequence[str]) -> dict[str, tuple[str, set[tuple[str, str]]]]:
        """Returns, by key, the status and the recorded (metric, version) pairs of runs that are done or diverged."""
        finished: dict[str, tuple[str, set[tuple[str, str]]]] = {}
        with self.session() as session:
            for chunk in _chunks(keys):
                query = select(RunRow.key, RunRow.status, ValueRow.metric, ValueRow.version)
                query = query.outerjoin(ValueRow, ValueRow.run_id == RunRow.id)
                query = query.where(RunRow.key.in_(chunk), RunRow.status != "failed")
                for key, status, metric, version in session.execute(query):
                    finished.setdefault(key, (status, set()))[1].update([(metric, version)] if metric else [])
        return finished

    def model(self, key: str) -> ModelRecord | None:
        """Returns the record of a model, or None if there is none."""
        with self.session() as session:
            row = session.scalar(select(ModelRow).where(ModelRow.key == key))
            return model_record(row) if row else None

    def with_weights(self, keys: Sequence[str]) -> set[str]:
        """Returns, of these model keys, those whose checkpoint exists and has the recorded SHA-256."""
        intact = set()
        with self.session() as session:
            for chunk in _chunks(keys):
                query = select(ModelRow.key, ModelRow.file, ModelRow.file_digest).where(ModelRow.key.in_(chunk))
                rows = session.execute(query).all()
                intact |= {key for key, file, digest in rows if file and digest and self.model_files.find(file, digest)}
        return intact

    def with_digest(self, digests: Sequence[str]) -> list[Twin]:
        """Returns the runs with status ``done`` whose weights have one of these digests, oldest first."""
        columns_ = (RunRow.id, RunRow.method, RunRow.options, RunRow.forget, ForgetSetRow.digest, RunRow.seed)
        query = select(ModelRow.weights_digest, *columns_).join(RunRow, RunRow.model_id == ModelRow.id)
        query = query.join(ForgetSetRow, ForgetSetRow.id == RunRow.forget_set_id).where(RunRow.status == "done")
        with self.session() as session:
            matching = [
                Twin(*row)
                for chunk in _chunks(sorted(set(digests)))
                for row in session.execute(query.where(ModelRow.weights_digest.in_(chunk)))
            ]
        return sorted(matching, key=lambda twin: twin.run)

    def references(self, method: str, forget_digest: str, seed: int) -> list[tuple[str, ModelRecord]]:
        """Returns the distinct models of a reference for a forget set and seed, each with a title of its run."""
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
        """Returns, of these run keys, those of failed runs, with the time of the failure."""
        failed: dict[str, datetime] = {}
        with self.session() as session:
            for chunk in _chunks(keys):
                query = select(RunRow.key, RunRow.finished_at).where(RunRow.key.in_(chunk), RunRow.status == "failed")
                failed.update((key, finished) for key, finished in session.execute(query))
        return failed

    def outputs(self, key: str) -> OutputsRecord | None:
        """Returns the record of a model's outputs, or None if there is none."""
        with self.session() as session:
            row = session.scalar(select(OutputsRow).where(OutputsRow.key == key))
            return outputs_record(row) if row else None

    def record_model(self, model: ModelRecord) -> None:
        """Writes a model that was made again because another run starts from it."""
        self.write(lambda session: put_model(session, model))

    def record(self, run: NewRun) -> None:
        """Writes a run and everything that belongs to it in one transaction.

        It replaces a run with the same key, unless the recorded run is done and the new one is not.
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
        for column, value in (
            (RunRow.experiment_key, experiment_key),
            (RunRow.method, method),
            (RunRow.status, status),
            (RunRow.forget, forget),
            (RunRow.seed, seed),
            (RunRow.profile, profile),
        ):
            if value is not None:
                query = query.where(column == value)
        if dataset is not None:
            query = query.where(RunRow.dataset.has(name=dataset))
        with self.session() as session:
            versions = _metric_versions(session)
            return [run_record(row, versions) for row in session.scalars(query)]

    def run(self, name: str) -> RunRecord:
        """Returns a run with its curves. ``name`` is the number of the run or the start of its key.

        Raises:
            StoreError: no run or several runs match.
        """
        query = select(RunRow).options(joinedload(RunRow.model).selectinload(ModelRow.curves))
        by_key = query.where(RunRow.key.startswith(name, autoescape=True))
        with self.session() as session:
            is_number = name.isdecimal() and len(name) < 19  # longer numbers exceed the integers of databases
            matching = list(session.scalars(query.where(RunRow.id == int(name)))) if is_number else []
            matching = matching or list(session.scalars(by_key.limit(2)))
            if len(matching) != 1:
                many = "Several runs have" if matching else "No run has"
                raise StoreError(f"{many} the number or key '{name}'. List all runs with: unlearn-bench runs")
            return run_record(matching[0], _metric_versions(session), with_curves=True)

    def mark_requested(self, keys: Sequence[str]) -> None:
        """Records that a plan requests these runs. If a row has several definitions, tables show the last requested."""

        def update_time(session: Session) -> None:
            now = time_of_request(session)
            for chunk in _chunks(sorted(keys)):
                session.execute(update(RunRow).where(RunRow.key.in_(chunk)).values(requested_at=now))

        self.write(update_time)

    def predicted(self, keys: Sequence[str]) -> dict[str, dict[str, Counts]]:
        """Returns, by run key, the counts of predicted labels, for runs that have them; see :class:`NewRun`."""
        predicted: dict[str, dict[str, Counts]] = {}
        with self.session() as session:
            for chunk in _chunks(keys):
                rows = session.execute(select(RunRow.key, RunRow.predicted).where(RunRow.key.in_(chunk)))
                predicted.update({key: counts for key, counts in rows if counts})
        return predicted

    def curves(self, keys: Sequence[str], names: Sequence[str]) -> dict[str, Curve]:
        """Returns, by run key, the points of the curves with these names, in order."""
        curves: dict[str, list[tuple[int, str, float]]] = {}
        with self.session() as session:
            for chunk in _chunks(keys):
                query = select(RunRow.key, CurveRow.step, CurveRow.name, CurveRow.value)
                query = query.join(CurveRow, CurveRow.model_id == RunRow.model_id)
                query = query.where(RunRow.key.in_(chunk), CurveRow.name.in_(names)).order_by(CurveRow.id)
                for key, *point in session.execute(query):
                    curves.setdefault(key, []).append(tuple(point))  # type: ignore[arg-type]  # three columns
        return {key: tuple(points) for key, points in curves.items()}

    def with_outputs(self, keys: Sequence[str]) -> set[str]:
        """Returns, of these run keys, those whose file of outputs exists and has the recorded SHA-256."""
        intact = set()
        with self.session() as session:
            for chunk in _chunks(keys):
                query = select(RunRow.key, OutputsRow.file, OutputsRow.file_digest).join(OutputsRow)
                rows = session.execute(query.where(RunRow.key.in_(chunk)))
                intact |= {key for key, file, digest in rows if self.output_files.find(file, digest)}
        return intact

    def forget_members(self, key: str) -> bytes:
        """Returns one bit per training image of a run, eight per byte: whether the image belongs to D_f."""
        query = select(ForgetSetRow.members).join(RunRow).where(RunRow.key == key)
        with self.session() as session:
            return session.scalar(query) or b""

    def plugins(self, experiment_key: str) -> list[str]:
        """Returns the sorted names of plug-in methods with a run in an experiment."""
        query = select(RunRow.method).distinct().join(MethodRow, MethodRow.name == RunRow.method)
        query = query.where(RunRow.experiment_key == experiment_key, MethodRow.origin != "").order_by(RunRow.method)
        with self.session() as session:
            return list(session.scalars(query))

    def methods(self) -> dict[str, MethodRecord]:
        """Returns the record of every method that has a run, by name."""
        with self.session() as session:
            return {row.name: MethodRecord(**columns(row)) for row in session.scalars(select(MethodRow))}

    def metrics(self) -> dict[str, MetricRecord]:
        """Returns the record of every measured metric, by name."""
        with self.session() as session:
            return {row.name: MetricRecord(**columns(row)) for row in session.scalars(select(MetricRow))}

    def dataset_of(self, run: RunRecord) -> DatasetRecord:
        """Returns the record of a run's data set."""
        query = select(DatasetRow).join(RunRow).where(RunRow.key == run.key)
        with self.session() as session:
            found = columns(session.scalars(query).one())
        del found["id"]
        return DatasetRecord(**{**found, **{name: tuple(found[name]) for name in ("classes", "fine_classes")}})

    def class_names(self, experiment_key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns the names of classes and of fine classes in an experiment's newest run; empty without a run."""
        query = select(DatasetRow).join(RunRow).where(RunRow.experiment_key == experiment_key)
        with self.session() as session:
            row = session.scalar(query.order_by(RunRow.finished_at.desc(), RunRow.id.desc()).limit(1))
            return (tuple(row.classes), tuple(row.fine_classes)) if row else ((), ())

    def dataset_names(self) -> list[str]:
        """Returns the sorted names of the data sets that have a run."""
        with self.session() as session:
            return list(session.scalars(select(DatasetRow.name).distinct().order_by(DatasetRow.name)))

    def count(self) -> int:
        """Returns the number of recorded runs."""
        with self.session() as session:
            return session.scalar(select(func.count()).select_from(RunRow)) or 0


def _metric_versions(session: Session) -> dict[str, str]:
    return {row.name: row.version for row in session.execute(select(MetricRow.name, MetricRow.version))}


def _chunks(keys: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), size):  # databases limit the number of parameters per statement
        yield keys[start : start + size]
