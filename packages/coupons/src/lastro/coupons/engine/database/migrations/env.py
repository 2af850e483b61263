# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""What Alembic runs."""

from alembic import context

from lastro.core.database.migrate import run
from lastro.coupons.engine.database import TABLES
from lastro.coupons.engine.database.schema import METADATA

run(context.config.attributes["connection"], METADATA, TABLES.versions)
