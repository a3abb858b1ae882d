"""Alembic migrations that upgrade databases of older versions: one file per step in ``versions/``."""
