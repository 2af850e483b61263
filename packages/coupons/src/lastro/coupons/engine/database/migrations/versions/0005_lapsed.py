# ruff: noqa: INP001  # Alembic runs it, nobody imports it
"""What may expire: also a coupon whose reservation is over."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Find those, too."""
    _index("status IN ('issued', 'reserved')")


def downgrade() -> None:
    """Those alone that nobody reserved."""
    _index("status = 'issued'")


def _index(text: str) -> None:
    where = sa.text(text)
    op.drop_index("issuances_to_expire", "coupon_issuances")
    op.create_index(
        "issuances_to_expire", "coupon_issuances", ["expires_ms"], postgresql_where=where, sqlite_where=where
    )
