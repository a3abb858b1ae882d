"""Renames to the usual terms: leases with heartbeats, scenarios, the time of a request."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Renames a table and three columns. Rows do not change."""
    op.execute("ALTER TABLE claims RENAME TO leases")
    op.execute("ALTER TABLE leases RENAME COLUMN beat TO heartbeat")
    op.execute("ALTER TABLE forget_sets RENAME COLUMN setting TO scenario")
    op.execute("ALTER TABLE runs RENAME COLUMN asked_at TO requested_at")
