"""What Alembic runs for every upgrade: on the connection that it is handed, inside the transaction of the caller."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
