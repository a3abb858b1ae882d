"""A database opened by its URL, and transactions in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from unlearn_bench.errors import StoreError
from unlearn_bench.store import sqlite
from unlearn_bench.store.tables import Base, RunRow


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
            self.shown_url = parsed.render_as_string(hide_password=True)
            self.path = Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
            if self.path is not None and not self.path.exists():
                if not create:
                    raise StoreError(f"There is no database at {self.path}. Make one with: unlearn-bench demo")
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._engine = create_engine(parsed)
            self._writer = self._engine.execution_options(writes=True)
            if parsed.get_backend_name() == "sqlite":
                sqlite.prepare(self._engine)
            if not inspect(self._engine).has_table(RunRow.__tablename__):
                if not create:
                    raise StoreError(f"The database {self.shown_url} holds no runs. Make some with: unlearn-bench demo")
                if self.path is not None:
                    sqlite.write_ahead(self._engine)
                with self._writer.begin() as connection:
                    Base.metadata.create_all(connection)
            self._check_schema()
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

    def _check_schema(self) -> None:
        """Checks that tables and columns are there that this version reads.

        Raises:
            StoreError: the database was made by another version.
        """
        found = inspect(self._engine).get_multi_columns()
        there = {table: {column["name"] for column in columns} for (_, table), columns in found.items()}
        lacking = [
            f"{table.name}.{column.name}"
            for table in Base.metadata.sorted_tables
            for column in table.columns
            if column.name not in there.get(table.name, ())
        ]
        if lacking:
            raise StoreError(
                f"The database {self.shown_url} was made by another version of unlearn-bench: it lacks "
                f"{', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''}. Read it with that version, or give --db "
                "the name of a new one."
            )

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yields a session for reading."""
        with self._errors(), Session(self._engine) as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yields a session whose writes are committed together at the end, or not at all."""
        with self._errors(), Session(self._writer) as session, session.begin():
            yield session

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as problem:
            raise StoreError(f"The database {self.shown_url} refused: {_reason(problem)}.") from problem


def _reason(problem: Exception) -> str:
    return str(getattr(problem, "orig", None) or problem).splitlines()[0].rstrip(".")
