"""The tables. Times are milliseconds since 1970, as everywhere; migrations make exactly this."""

import sqlalchemy as sa

METADATA = sa.MetaData()
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts by itself only in INTEGER
STATUSES = ("issued", "reserved", "redeemed", "cancelled", "expired")
KNOWN = ", ".join(f"'{status}'" for status in STATUSES)

coupons = sa.Table(
    "coupons",
    METADATA,
    sa.Column("coupon_id", sa.String(36), primary_key=True),
    sa.Column("event_id", sa.String(64), nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("total_quantity", sa.BigInteger, nullable=False),
    sa.Column("planned_quantity", sa.BigInteger, nullable=False),
    sa.Column("per_user_limit", sa.Integer, nullable=False),
    sa.Column("starts_ms", sa.BigInteger, nullable=False),
    sa.Column("ends_ms", sa.BigInteger),
    sa.Column("valid_until_ms", sa.BigInteger),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("discount_cents", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("durability", sa.String(16), nullable=False),
    sa.Column("returns_stock", sa.Boolean, nullable=False),
    sa.Column("eligible_only", sa.Boolean, nullable=False),
    sa.Column("room_per_second", sa.Integer, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_ms", sa.BigInteger, nullable=False),
    sa.CheckConstraint("total_quantity >= 0", name="coupons_total"),
    sa.CheckConstraint("ends_ms > starts_ms", name="coupons_window"),
)

issuances = sa.Table(
    "coupon_issuances",
    METADATA,
    sa.Column("issuance_id", sa.String(36), primary_key=True),
    sa.Column("coupon_id", sa.String(36), sa.ForeignKey("coupons.coupon_id"), nullable=False),
    sa.Column("event_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(128), nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("code", sa.String(20), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("issued_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_ms", sa.BigInteger),
    sa.Column("reserved_until_ms", sa.BigInteger),
    sa.Column("redeemed_ms", sa.BigInteger),
    sa.Column("cancelled_ms", sa.BigInteger),
    sa.Column("order_ref", sa.String(128)),
    sa.Column("key_hash", sa.String(18), nullable=False, server_default=""),
    sa.Column("stream_id", sa.String(48), nullable=False),
    sa.CheckConstraint(f"status IN ({KNOWN})", name="issuances_status"),
    sa.CheckConstraint("seq > 0", name="issuances_seq"),
    sa.UniqueConstraint("event_id", "user_id", "ordinal", name="issuances_of_user"),
    sa.UniqueConstraint("event_id", "seq", name="issuances_by_seq"),
    sa.UniqueConstraint("code", name="issuances_by_code"),
    sa.Index("issuances_by_user", "user_id", "status"),
    sa.Index(
        "issuances_cancelled",
        "event_id",
        postgresql_where=sa.text("status = 'cancelled'"),
        sqlite_where=sa.text("status = 'cancelled'"),
    ),
    sa.Index(
        "issuances_to_expire",
        "expires_ms",
        postgresql_where=sa.text("status IN ('issued', 'reserved')"),
        sqlite_where=sa.text("status IN ('issued', 'reserved')"),
    ),
)

audit = sa.Table(
    "issuance_events",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("issuance_id", sa.String(36), nullable=False),
    sa.Column("act", sa.String(16), nullable=False),
    sa.Column("reference", sa.String(128), nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Index("issuance_events_by_issuance", "issuance_id", "act", "reference"),
)

charges = sa.Table(
    "coupon_charges",
    METADATA,
    sa.Column("correlation_id", sa.String(36), primary_key=True),
    sa.Column("issuance_id", sa.String(36), nullable=False),
    sa.Column("amount_cents", sa.BigInteger, nullable=False),
    sa.Column("charge_cents", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.CheckConstraint("state IN ('waiting', 'telling', 'sent', 'done', 'dead', 'over', 'late')", name="charges_state"),
    sa.Index("charges_by_state", "state", "created_ms"),
)

dead_letters = sa.Table(
    "dead_letters",
    METADATA,
    sa.Column("event_id", sa.String(64), primary_key=True),
    sa.Column("letter_id", sa.String(48), primary_key=True),
    sa.Column("reason", sa.String(16), nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("deliveries", sa.Integer, nullable=False),
    sa.Column("first_ms", sa.BigInteger, nullable=False),
    sa.Column("last_ms", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.CheckConstraint("state IN ('waiting', 'replayed', 'discarded')", name="dead_letters_state"),
)

runs = sa.Table(
    "reconciliation_runs",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.String(64), nullable=False),
    sa.Column("started_ms", sa.BigInteger, nullable=False),
    sa.Column("ended_ms", sa.BigInteger, nullable=False),
    sa.Column("applied", sa.Boolean, nullable=False),
    sa.Column("actions", sa.Integer, nullable=False),
    sa.Column("findings", sa.Text, nullable=False),
)
