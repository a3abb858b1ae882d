"""Adds whether a method generates its own inputs. Before, no method could declare this."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds the column, with false for every recorded method."""
    op.add_column("methods", sa.Column("makes_inputs", sa.Boolean(), nullable=False, server_default=sa.false()))
