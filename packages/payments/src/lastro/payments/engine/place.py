"""One processor as this process sees it: its last word, its latest answers, its room."""

import time
from dataclasses import dataclass, field, replace

from lastro.payments.metrics import ATTEMPTS, DELAY_SECONDS, FAILING, OUTCOMES
from lastro.payments.model import Health, Processor

from .processor import Client, Outcome

PROBE_SECONDS = 0.25
PROBES_MAX = 12  # open at a time: a failing processor may take seconds to say so, and its recovery is seen by the next
STALE_SECONDS = 1.0
SLOW_MS = 200
ROOM_MIN = 4


@dataclass(eq=False)
class Place:
    """Circuit breaker, adaptive concurrency and delay of one processor.

    A 500 opens the circuit at once; then a payment every PROBE_SECONDS finds out. Room is halved by a 429 and grows by
    one with each success. The delay follows what is measured; an open request's age counts before its answer does.
    """

    processor: Processor
    client: Client
    room: int
    health: Health = field(default_factory=Health)
    sent_at: dict[str, float] = field(default_factory=dict)
    """Open requests, oldest first."""
    coming: int = 0
    """Chosen for payments that are just being accepted."""
    answered_at: float = 0.0
    probing_until: float = 0.0

    def __post_init__(self) -> None:
        self.room_max = self.room
        self.attempts = {outcome: ATTEMPTS.tally(processor=self.processor, outcome=outcome) for outcome in OUTCOMES}
        self.seconds = DELAY_SECONDS.tally(processor=self.processor)

    def told(self, health: Health) -> None:
        """Its own word, at most every 5 s; a failure that an answer showed since stands until a probe succeeds."""
        self.health = health
        FAILING.of(processor=self.processor).set(health.failing)

    def opened(self, correlation_id: str, at: float) -> None:
        """A try begins: its age tells the delay here, not the payment's age, which may be tried where others pass."""
        self.sent_at.pop(correlation_id, None)
        self.sent_at[correlation_id] = at

    def answered(self, outcome: Outcome, why: str, seconds: float) -> None:
        """Learn from how a payment ended there."""
        self.attempts[outcome]()
        if outcome == "taken":
            self._worked(seconds)
        elif outcome == "refused" and why == "too many":
            self.room = max(ROOM_MIN, self.room // 2)
        elif outcome == "refused" and not self.health.failing:
            self.health = replace(self.health, failing=True)
            self.probing_until = time.monotonic() + PROBE_SECONDS

    def _worked(self, seconds: float) -> None:
        measured = int(seconds * 1000)
        self.seconds(seconds)
        self.answered_at = time.monotonic()
        self.room = min(self.room_max, self.room + 1)
        delay_ms = (self.health.delay_ms * 3 + measured) // 4
        if self.health.failing or self.health.delay_ms != delay_ms:
            self.health = Health(failing=False, delay_ms=delay_ms)

    @property
    def probing(self) -> bool:
        """One payment may find out: an open circuit has rested, or what is known of an unused place has grown old."""
        if self.health.failing:
            return time.monotonic() >= self.probing_until and self.in_flight < PROBES_MAX
        return not self.in_flight and time.monotonic() - self.answered_at > STALE_SECONDS

    def chosen(self) -> None:
        """A payment goes there; when it is a probe, the next one waits."""
        if self.health.failing:
            self.probing_until = time.monotonic() + PROBE_SECONDS

    def seen(self) -> Health:
        """Its health as the next payment should see it: well for a probe; else as slow as its oldest open request.

        When it is full and slow it counts as failing, since the other one may have room; a full place that is fast has
        room again before the next payment would have paid the higher fee.
        """
        if self.probing:
            return Health()
        health = self.health
        if self.sent_at:
            oldest_ms = int((time.monotonic() - next(iter(self.sent_at.values()))) * 1000)
            if oldest_ms > health.delay_ms:
                health = Health(failing=health.failing, delay_ms=oldest_ms)
        if health.delay_ms >= SLOW_MS and not health.failing and self.room <= self.in_flight:
            return Health(failing=True, delay_ms=health.delay_ms)
        return health

    @property
    def free(self) -> int:
        """How many more it may be sent now."""
        if self.probing:
            return 1
        return 0 if self.health.failing else self.room - self.in_flight

    @property
    def in_flight(self) -> int:
        """Sent and not answered, or about to be sent."""
        return len(self.sent_at) + self.coming
