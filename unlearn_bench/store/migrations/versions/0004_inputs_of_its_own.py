"""Whether a method makes inputs of its own, which tables say: until now no method could declare it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds the column, false for every method that is recorded."""
    op.add_column("methods", sa.Column("makes_inputs", sa.Boolean(), nullable=False, server_default=sa.false()))
