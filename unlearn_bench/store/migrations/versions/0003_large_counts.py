"""Counts of 64 bits: a model on a GPU takes more bytes, and sees more images, than 32 bits hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

COUNTS = ("parameters", "samples_seen", "forward_images", "backward_images", "peak_memory_bytes")


def upgrade() -> None:
    """Widens them; SQLite's integers have 64 bits as they are."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for name in COUNTS:
        op.alter_column("models", name, type_=sa.BigInteger())
