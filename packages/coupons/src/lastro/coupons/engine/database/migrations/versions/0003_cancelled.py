# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""The cancelled coupons of an event, which are looked at again and again; an index of few rows."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

CANCELLED = sa.text("status = 'cancelled'")


def upgrade() -> None:
    """Make it."""
    op.create_index(
        "issuances_cancelled",
        "coupon_issuances",
        ["event_id"],
        postgresql_where=CANCELLED,
        sqlite_where=CANCELLED,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("issuances_cancelled", "coupon_issuances")
