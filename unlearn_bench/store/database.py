"""A database, opened by its URL, and its transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from unlearn_bench.core.errors import MissingDatabaseError, StoreError, reason_of
from unlearn_bench.core.logs import without_password
from unlearn_bench.store import schema, sqlite

ATTEMPTS = 5

T = TypeVar("T")


class Database:
    """An open database. Its sessions raise :class:`StoreError` in place of SQLAlchemy's errors."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Opens the database. Creates a missing database if ``create`` is true.

        Args:
            url: an SQLAlchemy URL; ``sqlite:///PATH`` is a file.
            create: false for commands that only read.

        Raises:
            StoreError: the database does not exist or cannot be opened, or ``url`` is not a database URL.
        """
        self.url = self.shown_url = url
        try:
            parsed = make_url(url)
            self.shown_url = without_password(parsed.render_as_string(hide_password=True))
            self.path = Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
            if self.path is not None:
                sqlite.check_path(self.path, create)
            if self.path is not None and not create:
                parsed = sqlite.for_reading(parsed, self.path)
            self._engine = create_engine(parsed, pool_pre_ping=True)
            self._writer = self._engine.execution_options(writes=True)
            if parsed.get_backend_name() == "sqlite":
                sqlite.prepare(self._engine)
            if not schema.has_runs(self._engine, self.shown_url):
                if not create:
                    raise MissingDatabaseError(
                        f"The database {self.shown_url} has no runs. Make some with: unlearn-bench demo"
                    )
                if self.path is not None:
                    sqlite.write_ahead(self._engine)
                with self._writer.begin() as connection:
                    schema.create(connection)
            schema.bring_up(self._engine, self._writer, self.path, self.shown_url)
            self._file = _identity(self.path) if self.path else None
            if self._file is not None and self.path is not None:
                sqlite.mark_in_use(self.path)
        except (ArgumentError, NoSuchModuleError, ValueError, TypeError):  # TypeError: a wrong port or option
            raise StoreError(
                f"'{without_password(url)}' is not a database URL. Give --db a URL such as sqlite:///results/runs.sqlite."
            ) from None
        except ModuleNotFoundError as problem:
            raise StoreError(
                f"The database {self.shown_url} needs the Python module '{problem.name}', which is not installed. "
                "Install it (PostgreSQL: pip install 'unlearn-bench[postgres]'), or give --db sqlite:///FILE."
            ) from None
        except (SQLAlchemyError, OSError) as problem:
            raise StoreError(f"The database {self.shown_url} cannot be opened: {_reason(problem)}.") from None

    def close(self) -> None:
        """Closes all connections. Windows cannot delete a file that is open."""
        self._engine.dispose()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yields a session for reading.

        Raises:
            StoreError: the database reports an error, or has a value that is damaged, such as a date that is none.
        """
        try:
            with self._errors(), Session(self._engine) as session:
                yield session
        except ValueError as problem:  # of the conversion of a column
            raise StoreError(
                f"The database {self.shown_url} has a value that cannot be read: {reason_of(problem)}. "
                "Restore a copy of it."
            ) from problem

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yields a session. Commits all its writes at the end, or none if an error occurs.

        Raises:
            StoreError: the database reports an error, or its file was removed or replaced.
        """
        self._check_file()
        with self._errors(), Session(self._writer) as session, session.begin():
            yield session

    def write(self, work: Callable[[Session], T]) -> T:
        """Runs ``work`` in a transaction and returns its result. Retries after a conflict with another process.

        A conflict means that both processes added the same row, or that each waited for the other (deadlock). Writers
        of SQLite lock the database before they read, so only other databases have conflicts.

        Raises:
            StoreError: see :meth:`transaction`.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                with self.transaction() as session:
                    return work(session)
            except StoreError as problem:
                if not _is_conflict(problem.__cause__):
                    raise
        with self.transaction() as session:
            return work(session)

    def _check_file(self) -> None:
        """Checks that an SQLite file is the one that was opened, because writes to a removed file are lost."""
        if self.path is not None and _identity(self.path) != self._file:
            raise StoreError(
                f"The database {self.path} was removed or replaced while it was in use, so its runs are missing there "
                "now. Restore the file, or run the same command again to start a new one."
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as problem:
            raise StoreError(f"The database {self.shown_url} reports an error: {_reason(problem)}.") from problem


def _identity(path: Path) -> tuple[int, int] | None:
    """Returns device and inode of a file, which differ if another file replaces it; None if it does not exist."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _is_conflict(problem: BaseException | None) -> bool:
    """Returns whether an error of the database comes from another process, so that a retry can succeed."""
    deadlock, serialization = "40P01", "40001"  # SQLSTATE
    code = getattr(getattr(problem, "orig", None), "sqlstate", None)
    return isinstance(problem, IntegrityError) or code in (deadlock, serialization)


def _reason(problem: Exception) -> str:
    for words, reason in sqlite.REASONS.items():
        if words in str(problem):
            return reason
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.strerror}: {problem.filename}"
    return str(getattr(problem, "orig", None) or problem).splitlines()[0].rstrip(".")
