# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""Final transfers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "ledger_transfers",
        sa.Column("ledger", sa.String(64), primary_key=True),
        sa.Column("place", sa.BigInteger, primary_key=True),
        sa.Column("transfer_id", sa.String(39), nullable=False),
        sa.Column("debit_account_id", sa.String(39), nullable=False),
        sa.Column("credit_account_id", sa.String(39), nullable=False),
        sa.Column("amount", sa.String(39), nullable=False),
        sa.Column("pending_id", sa.String(39), nullable=False),
        sa.Column("ledger_number", sa.BigInteger, nullable=False),
        sa.Column("code", sa.Integer, nullable=False),
        sa.Column("flags", sa.Integer, nullable=False),
        sa.Column("timestamp_ns", sa.BigInteger, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("ledger", "transfer_id", name="ledger_transfers_by_id"),
    )
    op.create_index("ledger_transfers_by_debit", "ledger_transfers", ["ledger", "debit_account_id", "place"])
    op.create_index("ledger_transfers_by_credit", "ledger_transfers", ["ledger", "credit_account_id", "place"])


def downgrade() -> None:
    """Drop it; refused while it has transfers, since they are nowhere else."""
    if op.get_bind().execute(sa.text("SELECT 1 FROM ledger_transfers LIMIT 1")).first():
        raise RuntimeError("ledger_transfers has transfers that are nowhere else: `lastro ledger unarchive` first")
    op.drop_table("ledger_transfers")
