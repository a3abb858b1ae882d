"""Leases: which process makes which model, so that processes that share a database do not repeat work.

A lease has a counter that its owner increases with every heartbeat. Another process takes over the lease if the owner's
process no longer runs. If the owner is on another machine, it takes over when the counter has not changed for a minute
of its own monotonic clock, so clocks that differ between machines or are set back have no effect.
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

from unlearn_bench.core.errors import StoreError
from unlearn_bench.core.processes import is_running, this_host
from unlearn_bench.store.database import Database
from unlearn_bench.store.tables import LeaseRow

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 60.0  # time without a heartbeat after which a lease of another machine is taken over


class Leases:
    """The leases of this process. As a context manager it sends heartbeats, and releases every lease at the end."""

    def __init__(self, database: Database) -> None:
        """``database`` is the database that the processes share."""
        self._database = database
        self._owner = uuid4().hex
        self._host, self._pid = this_host(), os.getpid()
        self._watched: dict[str, tuple[str, int, float]] = {}  # others' leases: owner, heartbeat, unchanged since
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_heartbeats, name="leases", daemon=True)

    def __enter__(self) -> Leases:
        """Starts to send heartbeats."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Releases every lease."""
        self._stop.set()
        self._thread.join(timeout=HEARTBEAT_SECONDS)
        # a lease that cannot be released ends with this process; the error must not hide why the process ends
        with contextlib.suppress(StoreError), self._database.transaction() as session:
            session.execute(delete(LeaseRow).where(LeaseRow.owner == self._owner))

    def take(self, key: str) -> bool:
        """Takes the lease of a model and returns True, or returns False while another running process holds it."""

        def lease(session: Session) -> bool:
            row = session.get(LeaseRow, key, with_for_update=True)
            if row is None:
                session.add(LeaseRow(key=key, owner=self._owner, host=self._host, pid=self._pid, heartbeat=0))
            elif row.owner != self._owner:
                if not self._is_dead(row):
                    return False
                row.owner, row.host, row.pid, row.heartbeat = self._owner, self._host, self._pid, row.heartbeat + 1
            return True

        taken = self._database.write(lease)
        if taken:
            self._watched.pop(key, None)
        return taken

    def release(self, key: str) -> None:
        """Releases a lease of this process."""
        mine = delete(LeaseRow).where(LeaseRow.key == key, LeaseRow.owner == self._owner)
        self._database.write(lambda session: session.execute(mine))

    def of_others(self) -> dict[str, str]:
        """Returns the keys of models that other running processes are making, with a description of each process."""
        with self._database.session() as session:
            rows = session.scalars(select(LeaseRow).where(LeaseRow.owner != self._owner)).all()
            return {row.key: self._describe(row) for row in rows if not self._is_dead(row)}

    def _describe(self, row: LeaseRow) -> str:
        return f"process {row.pid}" + ("" if row.host == self._host else " on another machine")

    def _is_dead(self, row: LeaseRow) -> bool:
        if row.host == self._host and not is_running(row.pid):
            return True
        now = time.monotonic()
        owner, heartbeat, since = self._watched.get(row.key, ("", -1, now))
        if (owner, heartbeat) != (row.owner, row.heartbeat):
            since = now
        self._watched[row.key] = (row.owner, row.heartbeat, since)
        return now - since > STALE_SECONDS

    def _send_heartbeats(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            # if a heartbeat fails on a busy or absent database, the next one replaces it
            with contextlib.suppress(StoreError), self._database.transaction() as session:
                session.execute(
                    update(LeaseRow).where(LeaseRow.owner == self._owner).values(heartbeat=LeaseRow.heartbeat + 1)
                )
