"""What a worker of a queue counts."""

from lastro.core.metrics import BOUNDED, SIZES, counter, gauge, histogram
from lastro.core.streams import Measure

IN_FLIGHT = gauge("worker_inflight", "messages in hand", do="none", across="livesum", queue=BOUNDED)
SATURATION = gauge(
    "worker_saturation",
    "messages in hand of those allowed, 0 to 1",
    do="at 1: add workers",
    across="livemax",
    queue=BOUNDED,
)
REDELIVERED = counter(
    "stream_redelivered_total", "deliveries beyond the first", do="failures or crashes?", queue=BOUNDED
)
LEASE_LOST = counter(
    "consumer_lease_lost_total",
    "messages that another worker took over while we had them",
    do="lease too short?",
    queue=BOUNDED,
)
BATCH_SIZE = histogram("worker_batch_size", "messages in one read", do="none", buckets=SIZES, queue=BOUNDED)
LAG = gauge("stream_lag", "messages not yet handed out", do="add workers", queue=BOUNDED)
PENDING = gauge("stream_pending", "messages handed out and not done", do="is a worker stuck?", queue=BOUNDED)
OLDEST = gauge(
    "stream_oldest_age_seconds", "age of the oldest message that is not done", do="see the runbook", queue=BOUNDED
)
DELAYED = gauge("stream_delayed", "messages waiting for their time or their next try", do="what fails?", queue=BOUNDED)
DEAD_NOW = gauge(
    "stream_dead_waiting", "dead letters waiting for a person", do="lastro queue dead list NAME", queue=BOUNDED
)


def tell(queue: str, told: Measure) -> None:
    """What an operator wants to know about a queue, as it was measured."""
    LAG.of(queue=queue).set(told.lag)
    PENDING.of(queue=queue).set(told.pending)
    OLDEST.of(queue=queue).set(told.oldest_seconds)
    DELAYED.of(queue=queue).set(told.delayed)
    DEAD_NOW.of(queue=queue).set(told.dead)
