"""The loop that charges: claims payments, sends them, settles or resolves them, and recovers the dead's.

Nothing here gives up: a payment leaves by commit, by release (known not charged) or by bury (refused for what it is).
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from lastro.core.errors import Busy
from lastro.core.worker import Run
from lastro.payments.metrics import ATTEMPTS, DELAY_SECONDS, FAILING, IN_FLIGHT, WAITING
from lastro.payments.model import PROCESSORS, Claim, Health, Processor, route

from . import Payments
from .http import HttpClient
from .processor import Client, Held, Outcome

LEASE_EVERY_SECONDS = 1.0
TURN_SECONDS = 0.005  # what came in meanwhile is claimed together
IDLE_SECONDS = 0.02
HEALTH_EVERY_SECONDS = 0.25
PROBE_SECONDS = 0.25
STALE_SECONDS = 1.0
SLOW_MS = 200
UNPIN_MARGIN_SECONDS = 2.0
BACKOFF_SECONDS = 0.02
BACKOFF_MAX_SECONDS = 1.0
CONCURRENCY_MIN = 4
IN_FLIGHT_MAX = 350  # of a processor's 800 places, over the two processes that the contract asks for

log = structlog.get_logger()


@dataclass(eq=False)
class Place:
    """One processor as this process sees it: its client, its last word, its latest answers, its room."""

    processor: Processor
    client: Client
    room: int
    health: Health = field(default_factory=Health)
    sent_at: dict[str, float] = field(default_factory=dict)
    """Open requests, oldest first."""
    answered_at: float = 0.0
    probing_until: float = 0.0
    delay_ms_max: int = 0
    """The largest delay seen: an answer of "not here" proves nothing before it has passed."""

    def __post_init__(self) -> None:
        self.room_max = self.room

    def told(self, health: Health) -> None:
        """Its own word, at most every 5 s; a failure that an answer showed since stands until a probe succeeds."""
        self.health = health
        self.delay_ms_max = max(self.delay_ms_max, health.delay_ms)
        FAILING.of(processor=self.processor).set(health.failing)

    def worked(self, seconds: float) -> None:
        """A payment was taken: closed circuit, and the delay moves towards what was measured."""
        measured = int(seconds * 1000)
        self.answered_at = time.monotonic()
        self.delay_ms_max = max(self.delay_ms_max, measured)
        self.health = Health(failing=False, delay_ms=(self.health.delay_ms * 3 + measured) // 4)
        self.room = min(self.room_max, self.room + 1)

    def failed(self, *, full: bool) -> None:
        """A payment was refused: halve the room when it is full, else open the circuit at once."""
        if full:
            self.room = max(CONCURRENCY_MIN, self.room // 2)
        else:
            self.health = replace(self.health, failing=True)
            self.probing_until = time.monotonic() + PROBE_SECONDS

    @property
    def probing(self) -> bool:
        """One payment may find out: an open circuit has rested, or what is known of an unused place has grown old."""
        if self.in_flight:
            return False
        now = time.monotonic()
        return now >= self.probing_until if self.health.failing else now - self.answered_at > STALE_SECONDS

    def seen(self) -> Health:
        """Its health as the next payment should see it: well for a probe; else as slow as its oldest open request."""
        if self.probing:
            return Health()
        if not self.sent_at:
            return self.health
        oldest_ms = int((time.monotonic() - next(iter(self.sent_at.values()))) * 1000)
        return replace(self.health, delay_ms=max(self.health.delay_ms, oldest_ms))

    @property
    def free(self) -> int:
        """How many more it may be sent now."""
        if self.probing:
            return 1
        return 0 if self.health.failing else self.room - self.in_flight

    @property
    def in_flight(self) -> int:
        """Sent and not settled."""
        return len(self.sent_at)


class Sender:
    """The sending half of one process."""

    def __init__(self, payments: Payments) -> None:
        self.payments = payments
        settings = payments.settings
        room = min(IN_FLIGHT_MAX, settings.num_workers * settings.max_concurrent_requests)
        urls = {"default": settings.processor_default_url, "fallback": settings.processor_fallback_url}
        self.places = {
            name: Place(
                name, Client(HttpClient(urls[name], settings.http_connect_seconds, settings.http_answer_seconds)), room
            )
            for name in PROCESSORS
        }
        self.waiting_since: float | None = None
        self.astray = True
        """There may be payments in flight that this process does not know it has."""
        self.last_told: dict[Processor, Health] = {}
        self.sending: set[asyncio.Task[None]] = set()

    async def run(self, run: Run) -> None:
        """Until told to stop; then what was sent is awaited within the grace, and the rest is the next owner's."""
        async with asyncio.TaskGroup() as self.tasks:
            upkeep = [
                self.tasks.create_task(self._forever(self._keep_lease, LEASE_EVERY_SECONDS)),
                self.tasks.create_task(self._forever(self._learn_health, HEALTH_EVERY_SECONDS)),
                *(
                    self.tasks.create_task(self._forever(partial(self._poll, place), HEALTH_EVERY_SECONDS))
                    for place in self.places.values()
                ),
            ]
            while not run.stopping.is_set():
                claims = await self._claim()
                for claim in claims:
                    self._start(claim)
                await run.pause(TURN_SECONDS if claims else IDLE_SECONDS)
            if self.sending:
                await asyncio.wait(self.sending, timeout=run.settings.grace_seconds)
            for task in [*upkeep, *self.sending]:
                task.cancel()
        for place in self.places.values():
            place.client.http.close()

    async def _claim(self) -> list[Claim]:
        """The oldest payments for the processor that the next one should go to; none when it is better to wait."""
        waited_ms = int((time.monotonic() - self.waiting_since) * 1000) if self.waiting_since else 0
        chosen = route(
            self._seen("default"),
            self._seen("fallback"),
            waited_ms=waited_ms,
            patience_ms=self.payments.settings.patience_ms,
        )
        if chosen is None:
            self.waiting_since = self.waiting_since or time.monotonic()
            return []
        self.waiting_since = None
        try:
            if self.astray:
                lost, self.astray = await self.payments.recall(), False
                return lost
            free = self.places[chosen].free
            return await self.payments.claim(chosen, free) if free > 0 else []
        except Busy:
            self.astray = True  # the store may have claimed them for us and could not say so
            return []

    def _seen(self, processor: Processor) -> Health:
        """As the place sees itself; when it is full and slow it counts as failing, since the other one may have room.

        A full place that is fast has room again before the next payment would have paid the higher fee.
        """
        place = self.places[processor]
        health = place.seen()
        return replace(health, failing=True) if place.free <= 0 and health.delay_ms >= SLOW_MS else health

    async def _settle(self, claim: Claim) -> None:
        """Send it until its outcome is known, and write that down."""
        place = self.places[claim.processor]
        IN_FLIGHT.of(processor=claim.processor).set(place.in_flight)
        try:
            tries, sent_at, pause = 0, time.monotonic(), BACKOFF_SECONDS
            while True:
                outcome, why = await self._pay(place, claim)
                if outcome == "unknown":
                    claim, sent_at = replace(claim, unknown=True), time.monotonic()
                elif outcome == "refused" and why == "too many" and tries < self.payments.settings.max_retries:
                    tries += 1
                elif await self._settled(place, claim, outcome, why, sent_at):
                    return
                await asyncio.sleep(random.uniform(pause / 2, pause))
                pause = min(BACKOFF_MAX_SECONDS, pause * 2)
        finally:
            del place.sent_at[claim.correlation_id]
            IN_FLIGHT.of(processor=claim.processor).set(place.in_flight)

    async def _pay(self, place: Place, claim: Claim) -> tuple[Outcome, str]:
        started = time.monotonic()
        outcome, why = await place.client.pay(claim)
        ATTEMPTS.of(processor=claim.processor, outcome=outcome).inc()
        if outcome == "taken":
            DELAY_SECONDS.of(processor=claim.processor).observe(time.monotonic() - started)
            place.worked(time.monotonic() - started)
        elif outcome == "refused":
            place.failed(full=why == "too many")
        return outcome, why

    async def _settled(self, place: Place, claim: Claim, outcome: Outcome, why: str, sent_at: float) -> bool:
        """Write down what is certain; False when it is not, and the payment stays at this processor."""
        if outcome == "taken" or (outcome == "known" and claim.unknown):
            await self.payments.commit(claim)
            return True
        if outcome == "wrong":
            log.error("payments.buried", correlation_id=claim.correlation_id, reason=why)
            await self.payments.bury(claim, why)
            return True
        if outcome == "refused" and not claim.unknown:
            await self.payments.release(claim)
            return True
        # known at a first try: somebody else's id there; refused after an unknown try: did that one count? Ask.
        held = await place.client.find(claim.correlation_id)
        if isinstance(held, Held):
            await self.payments.commit(replace(claim, amount_cents=held.amount_cents), held.requested_at_ms)
            return True
        if held is None and time.monotonic() - sent_at > place.delay_ms_max / 1000 + UNPIN_MARGIN_SECONDS:
            await self.payments.release(claim)
            return True
        return False

    async def _keep_lease(self) -> None:
        """Say that we live; take over from those who do not."""
        for dead in await self.payments.renew():
            for claim in await self.payments.recover(dead):
                self._start(claim)
        WAITING.of().set(await self.payments.waiting())

    async def _learn_health(self) -> None:
        """What any process's poll has brought."""
        for processor, health in (await self.payments.health()).items():
            if self.last_told.get(processor) != health:
                self.last_told[processor] = health
                self.places[processor].told(health)

    async def _poll(self, place: Place) -> None:
        """Ask the processor itself, if it is our turn; its limiter may hold the answer for 10 s."""
        if await self.payments.may_poll(place.processor) and (health := await place.client.health()) is not None:
            await self.payments.publish_health(place.processor, health)

    async def _forever(self, act: Callable[[], Awaitable[None]], every_seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not task.cancelling():  # asked too: redis-py can turn the cancellation of a call into an error of its own
            try:
                await act()
            except Busy as busy:
                self.astray = True
                log.warning("payments.store_away", reason=str(busy))
            await asyncio.sleep(every_seconds)

    def _start(self, claim: Claim) -> None:
        place = self.places[claim.processor]
        if claim.correlation_id in place.sent_at:
            return  # recalled, but not lost
        place.sent_at[claim.correlation_id] = time.monotonic()
        task = self.tasks.create_task(self._settle(claim))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)
