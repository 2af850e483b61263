# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""A charge that is being told to payments: its order can no longer be called off."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

BEFORE = "state IN ('waiting', 'sent', 'done', 'dead', 'over', 'late')"
AFTER = "state IN ('waiting', 'telling', 'sent', 'done', 'dead', 'over', 'late')"


def upgrade() -> None:
    """Allow it."""
    _allow(AFTER, before=BEFORE)


def downgrade() -> None:
    """What was being told may have been."""
    op.execute("UPDATE coupon_charges SET state = 'sent' WHERE state = 'telling'")
    _allow(BEFORE, before=AFTER)


def _allow(states: str, *, before: str) -> None:
    table = sa.Table(  # whole: SQLite makes it anew, and does not tell a constraint's words
        "coupon_charges",
        sa.MetaData(),
        sa.Column("correlation_id", sa.String(36), primary_key=True),
        sa.Column("issuance_id", sa.String(36), nullable=False),
        sa.Column("amount_cents", sa.BigInteger, nullable=False),
        sa.Column("charge_cents", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.CheckConstraint(before, name="charges_state"),
        sa.Index("charges_by_state", "state", "created_ms"),
    )
    with op.batch_alter_table("coupon_charges", copy_from=table) as changed:
        changed.drop_constraint("charges_state", type_="check")
        changed.create_check_constraint("charges_state", states)
