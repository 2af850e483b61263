# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""What Alembic runs: on the connection, and in the transaction, that `migrate` gives it."""

from alembic import context

from lastro.coupons.engine.database.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite alters a table by making it anew
)
context.run_migrations()
