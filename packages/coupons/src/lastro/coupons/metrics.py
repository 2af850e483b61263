"""What coupons counts."""

from lastro.core.metrics import SIZES, counter, gauge, histogram

WORDS = (
    "issued",
    "again",
    "sold_out",
    "early",
    "draft",
    "paused",
    "closed",
    "settled",
    "recovering",
    "unknown",
    "ineligible",
    "not_admitted",
    "limit",
    "key_required",
    "too_fast",
    "busy",
)
ATTEMPTS = counter("coupons_attempts_total", "attempts by their answer", do="busy: look at Redis", word=WORDS)
GUARDED = counter("coupons_guarded_total", "sold-out answers without asking Redis", do="none")
ATTEMPTS_AT_ONCE = histogram("coupons_attempts_at_once", "attempts in one write", do="none", buckets=SIZES)
ISSUE_SECONDS = histogram(
    "coupons_issue_seconds",
    "time of one write of attempts, with the copies that are waited for; 10 ms at 0.99 are allowed",
    do="look at Redis",
)
NOT_DURABLE = counter(
    "coupons_not_durable_total", "writes without the copy their event promises", do="look at the replicas"
)
PERSISTED = counter("coupons_persisted_total", "issuances written to the database", do="none")
PERSIST_SECONDS = histogram("coupons_persist_seconds", "time of one database transaction", do="look at the database")
DATABASE_DOWN = gauge(
    "coupons_database_down", "1 while the breaker is open", do="look at the database", across="livemax"
)
COLLISIONS = counter(
    "coupons_collisions_total",
    "issuances whose number, code or place another one has",
    do="two servers gave coupons of one event: lastro coupons reconcile, then recover",
)
