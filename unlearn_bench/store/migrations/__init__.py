"""How databases of older versions are brought to this one's schema, by Alembic: one file a step in ``versions/``."""
