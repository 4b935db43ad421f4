"""Alembic's entry: carries revisions out on the connection that `bot.store.migrate` holds."""

from __future__ import annotations

from alembic import context

from bot.store.tables import metadata

# The caller's transaction is the only one: either all of it happens or nothing does.
context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True
)
context.run_migrations()
