"""What payments counts."""

from lastro.core.metrics import counter, gauge, histogram

from .model import PROCESSORS

OUTCOMES = ("taken", "known", "refused", "unknown", "wrong")
ATTEMPTS = counter(
    "payments_attempts_total",
    "tries at a processor by outcome",
    do="unknown: look at the network; wrong: look at the dead payments",
    processor=PROCESSORS,
    outcome=OUTCOMES,
)
DELAY_SECONDS = histogram(
    "payments_processor_seconds", "time of a charge", do="compare with its health", processor=PROCESSORS
)
IN_FLIGHT = gauge("payments_in_flight", "sent and not settled", do="none", across="livesum", processor=PROCESSORS)
FAILING = gauge(
    "payments_processor_failing", "1 while it says that it fails", do="wait; it is theirs", processor=PROCESSORS
)
WAITING = gauge("payments_waiting", "accepted and not claimed", do="rising: are both processors failing?")
