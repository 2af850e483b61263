"""The table; migrations make exactly this. Numbers of 128 bits are decimal text; ``record`` is the whole transfer."""

import sqlalchemy as sa

METADATA = sa.MetaData()

transfers = sa.Table(
    "ledger_transfers",
    METADATA,
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
    sa.Index("ledger_transfers_by_debit", "ledger", "debit_account_id", "place"),
    sa.Index("ledger_transfers_by_credit", "ledger", "credit_account_id", "place"),
)
