"""Widens counts to 64 bits, because memory and numbers of images on a GPU exceed 32 bits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

COUNTS = ("parameters", "samples_seen", "forward_images", "backward_images", "peak_memory_bytes")


def upgrade() -> None:
    """Widens the columns. Integers of SQLite have 64 bits already."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for name in COUNTS:
        op.alter_column("models", name, type_=sa.BigInteger())
