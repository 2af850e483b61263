# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""Ids of original messages: up to 64 characters, an at sign, and a timestamp."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make room; SQLite counts no characters."""
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("pix_payments", "id", type_=sa.String(128))


def downgrade() -> None:
    """As wide as it is: the ids that need it stay."""
