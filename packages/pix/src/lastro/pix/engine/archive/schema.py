"""The table; migrations make exactly this."""

import sqlalchemy as sa

METADATA = sa.MetaData()

payments = sa.Table(
    "pix_payments",
    METADATA,
    sa.Column("engine", sa.String(255), primary_key=True),
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("record", sa.Text, nullable=False),
    sa.Column("payer", sa.Text, nullable=False),
    sa.Column("payee", sa.Text, nullable=False),
    sa.Column("cents", sa.BigInteger, nullable=False),
    sa.Column("final_ms", sa.BigInteger, nullable=False),
    sa.Column("archived_ms", sa.BigInteger, nullable=False),
    sa.Index("pix_payments_by_payer", "engine", "payer", "final_ms"),
    sa.Index("pix_payments_by_payee", "engine", "payee", "final_ms"),
)
"""``engine`` is the tag of the keys, ``record`` the line as the store had it."""
