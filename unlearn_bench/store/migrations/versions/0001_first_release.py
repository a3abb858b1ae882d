"""The first release. Databases of that release do not record a schema version; they are treated as this one."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Does nothing, because a new database is created with the newest schema."""
