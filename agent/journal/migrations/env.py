"""Run by Alembic, over the connection that `agent.journal.schema.upgrade` hands in."""

from alembic import context

from agent.journal.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
