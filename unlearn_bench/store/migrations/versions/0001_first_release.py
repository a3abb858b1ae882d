"""The first release: its databases, which name no schema, are taken to be of this one."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing: a new database is made as a whole, with the newest schema."""
