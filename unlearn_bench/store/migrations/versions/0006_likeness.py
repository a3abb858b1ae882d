"""Adds scores of likeness, which compare the models of two runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds the tables of scores and of their values."""
    op.create_table(
        "comparisons",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("best", sa.Double(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
    )
    op.create_table(
        "likeness",
        sa.Column("run_id", sa.Integer(), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("reference_id", sa.Integer(), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("comparison", sa.String(), sa.ForeignKey("comparisons.name"), primary_key=True),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
    )
    op.create_index("ix_likeness_reference_id", "likeness", ["reference_id"])
