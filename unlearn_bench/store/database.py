"""A database opened by its URL, and transactions in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from unlearn_bench.errors import MissingDatabaseError, StoreError
from unlearn_bench.logbook import without_password
from unlearn_bench.store import schema, sqlite
from unlearn_bench.store.tables import RunRow

ATTEMPTS = 5

T = TypeVar("T")


class Database:
    """An open database: where it lies, and sessions of it whose errors are sentences."""

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
            self.shown_url = without_password(parsed.render_as_string(hide_password=True))
            self.path = Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
            if self.path is not None and not self.path.exists():
                if not create:
                    raise MissingDatabaseError(
                        f"There is no database at {self.path}. Make one with: unlearn-bench demo"
                    )
                self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path is not None and not create:
                parsed = sqlite.for_reading(parsed, self.path)
            self._engine = create_engine(parsed, pool_pre_ping=True)
            self._writer = self._engine.execution_options(writes=True)
            if parsed.get_backend_name() == "sqlite":
                sqlite.prepare(self._engine)
            if not inspect(self._engine).has_table(RunRow.__tablename__):
                if not create:
                    raise MissingDatabaseError(
                        f"The database {self.shown_url} holds no runs. Make some with: unlearn-bench demo"
                    )
                if self.path is not None:
                    sqlite.write_ahead(self._engine)
                with self._writer.begin() as connection:
                    schema.create(connection)
            schema.bring_up(self._engine, self._writer, self.path, self.shown_url)
            self._file = _identity(self.path) if self.path else None
        except (ArgumentError, NoSuchModuleError, ValueError, TypeError):  # the latter of a port or an option in it
            raise StoreError(
                f"'{without_password(url)}' is no database URL. Give --db something like sqlite:///results/runs.sqlite."
            ) from None
        except ModuleNotFoundError as problem:
            raise StoreError(
                f"The database {self.shown_url} needs the Python module '{problem.name}', which is not installed. "
                "Install it (PostgreSQL: pip install 'unlearn-bench[postgres]'), or give --db sqlite:///FILE."
            ) from None
        except (SQLAlchemyError, OSError) as problem:
            raise StoreError(f"The database {self.shown_url} cannot be opened: {_reason(problem)}.") from None

    def close(self) -> None:
        """Gives its connections back: Windows deletes no file that is open."""
        self._engine.dispose()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yields a session for reading."""
        with self._errors(), Session(self._engine) as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yields a session whose writes are committed together at the end, or not at all.

        Raises:
            StoreError: the database refuses, or its file is not there any more.
        """
        self._check_file()
        with self._errors(), Session(self._writer) as session, session.begin():
            yield session

    def write(self, work: Callable[[Session], T]) -> T:
        """Returns what ``work`` returns in a transaction, done anew where another process's was in its way.

        Both may have added the same row, or each may have waited for the other.
        SQLite's writers wait for each other before they look; those of other databases may meet so.

        Raises:
            StoreError: see :meth:`transaction`.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                with self.transaction() as session:
                    return work(session)
            except StoreError as problem:
                if not _may_be_tried_again(problem.__cause__):
                    raise
        with self.transaction() as session:
            return work(session)

    def _check_file(self) -> None:
        """Checks that an SQLite file is still the one that was opened: a removed one takes writes, and loses them."""
        if self.path is not None and _identity(self.path) != self._file:
            raise StoreError(
                f"The database {self.path} was removed or replaced while it was in use; what was recorded in it is not "
                "in what lies there now. Put it back, or run the same command again to start a new one."
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as problem:
            raise StoreError(f"The database {self.shown_url} refused: {_reason(problem)}.") from problem


def _identity(path: Path) -> tuple[int, int] | None:
    """Returns what tells a file from another one that takes its name; None without one."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _may_be_tried_again(problem: BaseException | None) -> bool:
    deadlock, serialization = "40P01", "40001"  # SQLSTATE
    code = getattr(getattr(problem, "orig", None), "sqlstate", None)
    return isinstance(problem, IntegrityError) or code in (deadlock, serialization)


def _reason(problem: Exception) -> str:
    if "database is locked" in str(problem):
        return f"another program has kept it for {sqlite.BUSY_TIMEOUT_MS // 1000} s; end that one, then go on"
    return str(getattr(problem, "orig", None) or problem).splitlines()[0].rstrip(".")
