"""Who is making which model just now: claims of processes that share a database, kept alive without clocks.

A claim counts beats while its owner lives. Who wants it takes it over when its owner's process is gone, or, of another
machine, when it has not beaten for a while by the watch of who waits: clocks that differ or are set back do no harm.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from types import TracebackType
from uuid import uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from unlearn_bench.errors import StoreError
from unlearn_bench.processes import is_running, this_host
from unlearn_bench.store.database import Database
from unlearn_bench.store.tables import ClaimRow

BEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0  # without a beat, after which a claim of another machine is given up for dead


class Claims:
    """The claims of this process; used as a context, it beats until its end and then gives all of them back."""

    def __init__(self, database: Database) -> None:
        """``database`` is where every process that shares it looks."""
        self._database = database
        self._owner = uuid4().hex
        self._host, self._pid = this_host(), os.getpid()
        self._watched: dict[str, tuple[str, int, float]] = {}  # of others' claims: owner, beat, since when unchanged
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="claims", daemon=True)

    def __enter__(self) -> Claims:
        """Starts to beat."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives every claim back."""
        self._stop.set()
        self._thread.join(timeout=BEAT_SECONDS)
        # a claim that cannot be given back dies with this process: nothing that must hide why it ends
        with contextlib.suppress(StoreError), self._database.transaction() as session:
            session.execute(delete(ClaimRow).where(ClaimRow.owner == self._owner))

    def take(self, key: str) -> bool:
        """Claims a model, and returns whether it is ours now; not while another living process makes it."""

        def claim(session: Session) -> bool:
            row = session.get(ClaimRow, key, with_for_update=True)
            if row is None:
                session.add(ClaimRow(key=key, owner=self._owner, host=self._host, pid=self._pid, beat=0))
            elif row.owner != self._owner:
                if not self._is_dead(row):
                    return False
                row.owner, row.host, row.pid, row.beat = self._owner, self._host, self._pid, row.beat + 1
            return True

        taken = self._database.write(claim)
        if taken:
            self._watched.pop(key, None)
        return taken

    def give_back(self, key: str) -> None:
        """Ends a claim of ours."""
        mine = delete(ClaimRow).where(ClaimRow.key == key, ClaimRow.owner == self._owner)
        self._database.write(lambda session: session.execute(mine))

    def of_others(self) -> dict[str, str]:
        """Returns the models that other living processes are making, and who that is in words."""
        with self._database.session() as session:
            rows = session.scalars(select(ClaimRow).where(ClaimRow.owner != self._owner)).all()
            return {row.key: self._in_words(row) for row in rows if not self._is_dead(row)}

    def _in_words(self, row: ClaimRow) -> str:
        return f"process {row.pid}" + ("" if row.host == self._host else " of another machine")

    def _is_dead(self, row: ClaimRow) -> bool:
        if row.host == self._host and not is_running(row.pid):
            return True
        now = time.monotonic()
        owner, beat, since = self._watched.get(row.key, ("", -1, now))
        if (owner, beat) != (row.owner, row.beat):
            since = now
        self._watched[row.key] = (row.owner, row.beat, since)
        return now - since > LEASE_SECONDS

    def _keep_beating(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            # a beat that fails, on a database that is busy or away, is made up for by the next one
            with contextlib.suppress(StoreError), self._database.transaction() as session:
                session.execute(update(ClaimRow).where(ClaimRow.owner == self._owner).values(beat=ClaimRow.beat + 1))
