# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""The key of an attempt, so that its repeat is known after Redis was lost, too."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Rows that are there do not tell theirs."""
    op.add_column("coupon_issuances", sa.Column("key_hash", sa.String(18), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("coupon_issuances", "key_hash")
