"""The result database: one row a run, written in one transaction, SQLite by default."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session, joinedload, selectinload

from unlearn_bench.errors import StoreError
from unlearn_bench.store.records import Counts, MethodRecord, MetricRecord, ModelRecord, NewRun, RunRecord
from unlearn_bench.store.rows import columns, dataset_of, forget_set_of, model_record, put_model, run_record
from unlearn_bench.store.tables import Base, DatasetRow, MethodRow, MetricRow, ModelRow, RunRow, ValueRow

BUSY_TIMEOUT_MS = 30_000


class Store:
    """The database of an URL and the folder of checkpoints beside it."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Opens the database, and makes it where it is missing unless ``create`` is false.

        Args:
            url: an SQLAlchemy URL; ``sqlite:///PATH`` is a file.
            create: false for commands that only read.

        Raises:
            StoreError: no such database, not a database, or not an URL.
        """
        self.url = self.shown_url = url
        try:
            parsed = make_url(url)
            self.shown_url = parsed.render_as_string(hide_password=True)
            self.path = Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
            if self.path is not None and not self.path.exists():
                if not create:
                    raise StoreError(f"There is no database at {self.path}. Make one with: unlearn-bench demo")
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._engine = create_engine(parsed)
            self._writer = self._engine.execution_options(writes=True)
            if parsed.get_backend_name() == "sqlite":
                _prepare_sqlite(self._engine)
            if not inspect(self._engine).has_table(RunRow.__tablename__):
                if not create:
                    raise StoreError(f"The database {self.shown_url} holds no runs. Make some with: unlearn-bench demo")
                if self.path is not None:
                    _write_ahead(self._engine)
                with self._writer.begin() as connection:
                    Base.metadata.create_all(connection)
        except (ArgumentError, NoSuchModuleError):
            raise StoreError(
                f"'{url}' is no database URL. Give --db something like sqlite:///results/runs.sqlite."
            ) from None
        except ModuleNotFoundError as problem:
            raise StoreError(
                f"The database {self.shown_url} needs the Python module '{problem.name}', which is not installed. "
                "Install it, or give --db sqlite:///FILE."
            ) from None
        except (SQLAlchemyError, OSError) as problem:
            raise StoreError(f"The database {self.shown_url} cannot be opened: {_reason(problem)}.") from None

    @property
    def models_folder(self) -> Path:
        """Where checkpoints lie: ``models/`` beside an SQLite file, else ``results/models`` in the working folder."""
        return (self.path.parent if self.path else Path("results")) / "models"

    def finished(self, keys: Sequence[str]) -> dict[str, tuple[str, set[tuple[str, str]]]]:
        """Returns, of the given run keys, those done or diverged: status and (metric, version) of what is recorded."""
        found: dict[str, tuple[str, set[tuple[str, str]]]] = {}
        with self._session() as session:
            for chunk in _chunks(keys):
                query = select(RunRow.key, RunRow.status, ValueRow.metric, ValueRow.version)
                query = query.outerjoin(ValueRow, ValueRow.run_id == RunRow.id)
                query = query.where(RunRow.key.in_(chunk), RunRow.status != "failed")
                for key, status, metric, version in session.execute(query):
                    found.setdefault(key, (status, set()))[1].update([(metric, version)] if metric else [])
        return found

    def model(self, key: str) -> ModelRecord | None:
        """Returns the weights of that key, or None where nobody has made them."""
        with self._session() as session:
            row = session.scalar(select(ModelRow).where(ModelRow.key == key))
            return model_record(row) if row else None

    def record_model(self, model: ModelRecord) -> None:
        """Writes weights that were made again for a run that starts from them."""
        with self._transaction() as session:
            put_model(session, model)

    def record(self, run: NewRun) -> None:
        """Writes a run with all that belongs to it in one transaction.

        A run of the same key is replaced, but never one that is done by one that failed.
        """
        with self._transaction() as session:
            previous = session.scalar(select(RunRow).where(RunRow.key == run.spec.key))
            if previous and previous.status == "done" and run.status == "failed":
                return
            for metric in run.metrics:
                session.merge(MetricRow(**asdict(metric)))
            session.merge(MethodRow(**asdict(run.method)))
            dataset = dataset_of(session, run)
            forget_set = forget_set_of(session, run, dataset)
            model = put_model(session, run.model) if run.model else None
            if previous:
                session.delete(previous)
                session.flush()
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
                forget=run.spec.forget,
                seed=run.spec.seed,
                precision=run.spec.experiment.precision,
                evaluation_seconds=run.evaluation_seconds,
                predicted=run.predicted,
                finished_at=datetime.now(timezone.utc),
                asked_at=datetime.now(timezone.utc),
                **asdict(run.environment),
            )
            versions = {metric.name: metric.version for metric in run.metrics}
            row.values = [
                ValueRow(metric=name, version=versions.get(name, ""), value=value) for name, value in run.values.items()
            ]
            session.add(row)

    def runs(
        self,
        *,
        experiment_key: str | None = None,
        method: str | None = None,
        status: str | None = None,
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Returns the runs that match, newest first."""
        query = select(RunRow).order_by(RunRow.finished_at.desc(), RunRow.id.desc()).limit(limit)
        query = query.options(joinedload(RunRow.dataset), joinedload(RunRow.model), selectinload(RunRow.values))
        for column, wanted in (
            (RunRow.experiment_key, experiment_key),
            (RunRow.method, method),
            (RunRow.status, status),
        ):
            if wanted is not None:
                query = query.where(column == wanted)
        with self._session() as session:
            versions = _metric_versions(session)
            return [run_record(row, versions) for row in session.scalars(query)]

    def run(self, name: str) -> RunRecord:
        """Returns the run of that number, or whose key begins with ``name``, with its curves.

        Raises:
            StoreError: none, or several.
        """
        query = select(RunRow).options(joinedload(RunRow.model).selectinload(ModelRow.curves))
        by_key = query.where(RunRow.key.startswith(name, autoescape=True))
        with self._session() as session:
            is_number = name.isdecimal() and len(name) < 19  # longer ones are beyond any database's integers
            found = list(session.scalars(query.where(RunRow.id == int(name)))) if is_number else []
            found = found or list(session.scalars(by_key.limit(2)))
            if len(found) != 1:
                many = "Several runs have" if found else "No run has"
                raise StoreError(f"{many} the number or key '{name}'. List them with: unlearn-bench runs")
            return run_record(found[0], _metric_versions(session), with_curves=True)

    def ask(self, keys: Sequence[str]) -> None:
        """Notes that a plan asks for these runs, where recorded: of several definitions tables show the last asked."""
        now = datetime.now(timezone.utc)
        with self._transaction() as session:
            for chunk in _chunks(keys):
                session.execute(update(RunRow).where(RunRow.key.in_(chunk)).values(asked_at=now))

    def predicted(self, keys: Sequence[str]) -> dict[str, dict[str, Counts]]:
        """Returns, of the given run keys, what each model calls the images, where that is recorded."""
        found: dict[str, dict[str, Counts]] = {}
        with self._session() as session:
            for chunk in _chunks(keys):
                rows = session.execute(select(RunRow.key, RunRow.predicted).where(RunRow.key.in_(chunk)))
                found.update({key: counts for key, counts in rows if counts})
        return found

    def plugins(self, experiment_key: str) -> list[str]:
        """Returns the names of the plug-in methods that have a run in an experiment, in order."""
        query = select(RunRow.method).distinct().join(MethodRow, MethodRow.name == RunRow.method)
        query = query.where(RunRow.experiment_key == experiment_key, MethodRow.origin != "").order_by(RunRow.method)
        with self._session() as session:
            return list(session.scalars(query))

    def methods(self) -> dict[str, MethodRecord]:
        """Returns what is known of every method that has a run."""
        with self._session() as session:
            return {row.name: MethodRecord(**columns(row)) for row in session.scalars(select(MethodRow))}

    def metrics(self) -> dict[str, MetricRecord]:
        """Returns what is known of every metric that has been measured."""
        with self._session() as session:
            return {row.name: MetricRecord(**columns(row)) for row in session.scalars(select(MetricRow))}

    def class_names(self, experiment_key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns the names of classes and of finer ones of an experiment's newest run's images; none without a run."""
        query = select(DatasetRow).join(RunRow).where(RunRow.experiment_key == experiment_key)
        with self._session() as session:
            row = session.scalar(query.order_by(RunRow.finished_at.desc(), RunRow.id.desc()).limit(1))
            return (tuple(row.classes), tuple(row.fine_classes)) if row else ((), ())

    def count(self) -> int:
        """Returns the number of recorded runs."""
        with self._session() as session:
            return session.scalar(select(func.count()).select_from(RunRow)) or 0

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self._errors(), Session(self._engine) as session:
            yield session

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        """Yields a session whose writes are committed together at the end, or not at all."""
        with self._errors(), Session(self._writer) as session, session.begin():
            yield session

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as problem:
            raise StoreError(f"The database {self.shown_url} refused: {_reason(problem)}.") from problem


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin as stated below, not when the driver sees fit
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a writer takes the lock before it looks what is there, or two could both find a row missing and add it
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _write_ahead(engine: Engine) -> None:
    """Switches a new file to WAL for good: it must be free for that, and the switch does not wait by itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            with closing(engine.raw_connection()) as connection:  # no transaction: in one, the mode cannot change
                connection.cursor().execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _metric_versions(session: Session) -> dict[str, str]:
    return {row.name: row.version for row in session.execute(select(MetricRow.name, MetricRow.version))}


def _chunks(keys: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), size):  # databases bound the number of parameters in one statement
        yield keys[start : start + size]


def _reason(problem: Exception) -> str:
    return str(getattr(problem, "orig", None) or problem).splitlines()[0].rstrip(".")
