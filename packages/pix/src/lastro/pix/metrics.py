"""What Pix counts about itself, per process; its backlog, dead letters and totals are among those of every domain."""

from lastro.core.metrics import SIZES, counter, gauge, histogram
from lastro.pix.model.codes import RECEIVER_CODES, SPI_CODES

SETTLED_SHARES = ("0.5", "0.99")
ANSWERED_SHARES = ("0.5", "0.95")
WORDS = ("accepted", "rejected", "settled", "repeat", "conflict", "late", "expired", "unknown", "elsewhere", "dead")

OUTCOMES = counter(
    "pix_outcomes_total", "payments and answers, by what became of them", do="dead: list them", outcome=WORDS
)
BATCH = histogram("pix_batch_size", "entries one read brought", do="always full: add workers", buckets=SIZES)
RECLAIMED = counter("pix_reclaimed_total", "entries taken over from silent workers", do="who died, and why?")
EXPIRED = counter("pix_expired_total", "payments rejected AB03 by this worker", do="which receiver is silent?")
TRIMMED = counter("pix_trimmed_total", "answers whose time was over", do="none")
ARCHIVED = counter("pix_archived_total", "records whose story went to the archive", do="none")
SETTLED_SECONDS = gauge(
    "pix_settled_seconds",
    "from received to final, lately; the SPI's limits are 2.8 s at 0.5 and 4.6 s at 0.99",
    do="workers, then receivers",
    quantile=SETTLED_SHARES,
)
ANSWERED_SECONDS = gauge(
    "pix_answered_seconds",
    "from asked to answered, lately; the limits are 1.4 s at 0.5 and 2.3 s at 0.95",
    do="which receiver is slow?",
    quantile=ANSWERED_SHARES,
)
REJECTED = gauge(
    "pix_rejected",
    "payments rejected since the beginning, by code",
    do="AM04: fund the account; AB03: which receiver?",
    code=tuple(sorted({*SPI_CODES, *RECEIVER_CODES})),
)
