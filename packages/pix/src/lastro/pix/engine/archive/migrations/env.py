# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""What Alembic runs."""

from alembic import context

from lastro.core.database.migrate import run
from lastro.pix.engine.archive import TABLES
from lastro.pix.engine.archive.schema import METADATA

run(context.config.attributes["connection"], METADATA, TABLES.versions)
