# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""Final payments and returns."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "pix_payments",
        sa.Column("engine", sa.String(255), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("payer", sa.Text, nullable=False),
        sa.Column("payee", sa.Text, nullable=False),
        sa.Column("cents", sa.BigInteger, nullable=False),
        sa.Column("final_ms", sa.BigInteger, nullable=False),
        sa.Column("archived_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("pix_payments_by_payer", "pix_payments", ["engine", "payer", "final_ms"])
    op.create_index("pix_payments_by_payee", "pix_payments", ["engine", "payee", "final_ms"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("pix_payments")
