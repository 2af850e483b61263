# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""What a coupon takes off an order, and the charges of the rest."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make them."""
    op.add_column("coupons", sa.Column("discount_cents", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "coupon_charges",
        sa.Column("correlation_id", sa.String(36), primary_key=True),
        sa.Column("issuance_id", sa.String(36), nullable=False),
        sa.Column("amount_cents", sa.BigInteger, nullable=False),
        sa.Column("charge_cents", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'done', 'dead', 'over', 'late')", name="charges_state"),
    )
    op.create_index("charges_by_state", "coupon_charges", ["state", "created_ms"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("coupon_charges")
    op.drop_column("coupons", "discount_cents")
