"""Alembic runs this file for every upgrade, on the caller's connection and in the caller's transaction."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
