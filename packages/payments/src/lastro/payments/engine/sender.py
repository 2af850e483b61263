"""The loop that charges: claims payments, sends them, settles or resolves them, and recovers the dead's.

Nothing here gives up: a payment leaves by commit, by release (known not charged) or by bury (refused for what it is).
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from lastro.core import tracing
from lastro.core.errors import Busy
from lastro.core.worker import Run
from lastro.payments.metrics import IN_FLIGHT, WAITING
from lastro.payments.model import PROCESSORS, Claim, Health, Processor, patience, route

from . import CLAIM_MAX, LEASE_MS, Choice, Payments
from .http import HttpClient
from .place import Place
from .processor import Client, Held, Outcome

LEASE_EVERY_SECONDS = 1.0
TURN_SECONDS = 0.005  # while something waits: what came in meanwhile is claimed together
IDLE_SECONDS = 0.05  # between looks at the queue of a process that accepts nothing itself, and so hears of nothing
COMMIT_SECONDS = 0.1  # what was taken meanwhile is entered together; a crash in between is resolved like any other
RIPE_SECONDS = 0.08  # then it goes as a charge is answered: beside an answer to a payer it would take the CPU from that
PROMPT_SECONDS = 0.5  # what took longer is entered at once: a summary of times so long past may be asked at this moment
HEALTH_EVERY_SECONDS = 0.5
AWAY_SECONDS = 0.5  # before a store that is away, or refuses, is asked again
UNPIN_MARGIN_SECONDS = LEASE_MS / 1000 + LEASE_EVERY_SECONDS
"""After the longest answer: so long an owner goes on sending whose lease ended early, as the store's clock was set."""
BACKOFF_SECONDS = 0.02
BACKOFF_MAX_SECONDS = 1.0
IN_FLIGHT_MAX = 350  # of a processor's 800 places, over the two processes that the contract asks for

log = structlog.get_logger()


class Sender:
    """The sending half of one process."""

    def __init__(self, payments: Payments) -> None:
        self.payments = payments
        settings = payments.settings
        room = min(IN_FLIGHT_MAX, settings.num_workers * settings.max_concurrent_requests)
        urls = {"default": settings.processor_default_url, "fallback": settings.processor_fallback_url}
        self.places: dict[Processor, Place] = {
            name: Place(
                name, Client(HttpClient(urls[name], settings.http_connect_seconds, settings.http_answer_seconds)), room
            )
            for name in PROCESSORS
        }
        self.patience_ms = patience(settings.fee_default, settings.fee_fallback, settings.patience_ms)
        self.held_since: float | None = None
        self.astray = True
        """There may be payments in flight that this process does not know it has."""
        self.leased_until = 0.0
        self.lease = 0
        """Counts the leases that were over before they were renewed: what was claimed in one may be another's now."""
        self.more = asyncio.Event()
        """Something may be waiting."""
        self.hosted = False
        """Payments are accepted in this process: it hears of what is queued."""
        self.last_told: dict[Processor, Health] = {}
        self.in_hand: set[str] = set()
        self.handled: set[str] | None = None
        """While a recall is under way: all that was in hand at any time since it began."""
        self.sending: set[asyncio.Task[None]] = set()
        self.taken: list[Claim] = []
        """Charged, and not entered yet."""
        self.entering: asyncio.Task[None] | None = None
        self.taken_since = 0.0
        """When the first of them was."""
        self.pressing = asyncio.Event()
        """Something among the taken is to be entered at once."""

    async def run(self, run: Run) -> None:
        """Until told to stop; then what was sent is awaited within the grace, and the rest is the next owner's."""
        async with asyncio.TaskGroup() as self.tasks:
            upkeep = [
                self.tasks.create_task(self._forever(self._keep_lease, LEASE_EVERY_SECONDS)),
                self.tasks.create_task(self._forever(self._learn_health, HEALTH_EVERY_SECONDS)),
                self.tasks.create_task(self._forever(self._claim_waiting, TURN_SECONDS)),
                *(
                    self.tasks.create_task(self._forever(partial(self._poll, place), HEALTH_EVERY_SECONDS))
                    for place in self.places.values()
                ),
            ]
            self.payments.sending = self
            await run.stopping.wait()
            self.payments.sending = None
            if self.sending:
                await asyncio.wait(self.sending, timeout=run.settings.grace_seconds)
            for task in [*upkeep, *self.sending]:
                task.cancel()
            if self.entering:
                await asyncio.wait({self.entering}, timeout=run.settings.grace_seconds)
            if self.entering:
                self.entering.cancel()  # charged and not entered: the next owner finds it out
        for place in self.places.values():
            place.client.http.close()

    def choose(self) -> Choice | None:
        """Where the next payment goes, by expected profit; None when it is better to wait, or there is no room."""
        self.hosted = True
        chosen = self._route() if time.monotonic() < self.leased_until else None
        if chosen is None or self.places[chosen].free <= 0:
            return None
        self.places[chosen].chosen()
        self.places[chosen].coming += 1
        return Choice(chosen, self.lease)

    def took(self, choice: Choice | None, claim: Claim | None, *, lost: bool) -> None:
        """Send what was claimed as it was accepted; look for what may have been, when the answer was lost."""
        if choice is not None:
            self.places[choice.processor].coming -= 1
        if claim is None or choice is None:
            self.astray = self.astray or lost
            self.more.set()
        elif self.payments.sending is self:  # else it was stopped: it is the next owner's
            self._start(claim, choice.lease)

    def _route(self) -> Processor | None:
        """The model's choice; the time that payments are held counts while the other processor would take them."""
        default, fallback = self.places["default"], self.places["fallback"]
        choose = partial(route, default.seen(), fallback.seen(), patience_ms=self.patience_ms)
        down = default.health.failing
        if down and fallback.health.failing:
            self.held_since = None
            return choose(held_ms=self.patience_ms)  # whichever is due to be probed
        at_once = choose(held_ms=-1)
        if at_once and not down:
            self.held_since = None
            return at_once
        self.held_since = self.held_since or time.monotonic()
        return choose(held_ms=int((time.monotonic() - self.held_since) * 1000))

    async def _claim_waiting(self) -> None:
        """The oldest payments for the processor that the next one should go to; none when it is better to wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self.hosted else IDLE_SECONDS):
                await self.more.wait()
        if self.astray:
            await self._find_astray()
        chosen = self._route()
        free = min(CLAIM_MAX, self.places[chosen].free) if chosen else 0
        if chosen and free > 0:
            self.more.clear()
            self.places[chosen].chosen()
            lease = self.lease
            claims = await self.payments.claim(chosen, free)
            for claim in claims:
                self._start(claim, lease)
            if len(claims) == free:
                self.more.set()

    async def _find_astray(self) -> None:
        """What is in flight here and in nobody's hand is sent again.

        Not what was in hand at any time meanwhile: that may be queued again by now, or charged elsewhere.
        """
        self.astray, self.handled, lease = False, set(self.in_hand), self.lease
        try:
            for claim in await self.payments.recall():
                if claim.correlation_id not in self.handled:
                    self._start(claim, lease)
        except Busy:
            self.astray = True
            raise
        finally:
            self.handled = None

    async def _settle(self, claim: Claim, lease: int) -> None:
        """Send it until its outcome is known, and write that down."""
        place = self.places[claim.processor]
        try:
            tries, sent_at, pause = 0, time.monotonic(), BACKOFF_SECONDS
            while (began := time.monotonic()) < self.leased_until and lease == self.lease:
                traced = tracing.now()
                place.opened(claim.correlation_id, began)
                outcome, why = await place.client.pay(claim)
                tracing.record(
                    "payments.charge", claim.correlation_id, traced, processor=claim.processor, outcome=outcome
                )
                place.answered(outcome, why, time.monotonic() - began)
                if outcome == "taken":
                    self._enter(claim, at_once=claim.unknown or time.monotonic() - sent_at > PROMPT_SECONDS)
                    return
                if outcome == "unknown":
                    claim, sent_at = replace(claim, unknown=True), time.monotonic()
                elif outcome == "refused" and why == "too many" and tries < self.payments.settings.max_retries:
                    tries += 1
                elif await self._settled(place, claim, outcome, why, sent_at):
                    return
                await asyncio.sleep(random.uniform(pause / 2, pause))
                pause = min(BACKOFF_MAX_SECONDS, pause * 2)
            self._lose(claim)  # somebody may have taken it over: what is still ours is recalled
        except Busy:
            self._lose(claim)
        finally:
            del place.sent_at[claim.correlation_id]

    def _lose(self, claim: Claim) -> None:
        self.in_hand.discard(claim.correlation_id)
        self.astray = True
        self.more.set()

    async def _settled(self, place: Place, claim: Claim, outcome: Outcome, why: str, sent_at: float) -> bool:
        """Write down what is certain; False when it is not, and the payment stays at this processor."""
        if outcome == "known" and claim.unknown:
            self._enter(claim)
            return True
        if outcome == "refused" and not claim.unknown:
            await self._release(claim)
            return True
        # known at a first try: somebody else's id there; wrong: taken all the same? Refused after an unknown try: did
        # that one count? Ask.
        # "not here" proves nothing before an answer may have taken as long as any: not all delays were seen from here
        waited = time.monotonic() - sent_at > place.client.http.answer_seconds + UNPIN_MARGIN_SECONDS
        held = await place.client.find(claim.correlation_id)
        if isinstance(held, Held):
            at_ms = claim.requested_at_ms if held.requested_at_ms is None else held.requested_at_ms
            self._enter(replace(claim, amount_cents=held.amount_cents, requested_at_ms=at_ms))
        elif outcome == "wrong" and not claim.unknown and (held is None or waited):
            log.error("payments.buried", correlation_id=claim.correlation_id, reason=why)
            self._let_go(claim, ours=await self.payments.bury(claim, why))
        elif held is None and waited:
            await self._release(claim)
        else:
            return False
        return True

    async def _release(self, claim: Claim) -> None:
        self._let_go(claim, ours=await self.payments.release(claim))
        self.more.set()

    def _let_go(self, claim: Claim, *, ours: bool) -> None:
        """It is in nobody's hand here; if it was not ours, it may have been claimed here anew, and not been started."""
        if ours:
            self.in_hand.discard(claim.correlation_id)
        else:
            self._lose(claim)

    def _enter(self, claim: Claim, *, at_once: bool = True) -> None:
        """It was charged: into the books, with what else was charged in these milliseconds."""
        now = time.monotonic()
        if not self.taken:
            self.taken_since = now
        self.taken.append(claim)
        if at_once or now - self.taken_since > RIPE_SECONDS or len(self.taken) >= CLAIM_MAX:
            self.pressing.set()
        if self.entering is None:
            self.entering = self.tasks.create_task(self._enter_all())

    async def _enter_all(self) -> None:
        while self.taken:
            if len(self.taken) < CLAIM_MAX and self.payments.sending:
                with suppress(TimeoutError):
                    async with asyncio.timeout(COMMIT_SECONDS):
                        await self.pressing.wait()
            self.pressing.clear()
            claims, self.taken = self.taken[:CLAIM_MAX], self.taken[CLAIM_MAX:]
            try:
                await self.payments.commit(*claims)
            except Busy as busy:
                log.warning("payments.store_away", reason=str(busy))
                self.taken = claims + self.taken
            else:
                self.in_hand.difference_update(claim.correlation_id for claim in claims)
        self.entering = None

    async def _keep_lease(self) -> None:
        """Say that we live; take over from those who do not."""
        asked = time.monotonic()
        renewed = await self.payments.renew()
        if not renewed.kept or time.monotonic() > self.leased_until:
            self.lease += 1
            self.astray = True
        self.leased_until = asked + LEASE_MS / 1000
        for owner in renewed.dead:
            while claims := await self.payments.recover(owner):
                for claim in claims:
                    self._start(claim, self.lease)
        waiting = await self.payments.waiting()
        WAITING.of().set(waiting)
        for place in self.places.values():
            IN_FLIGHT.of(processor=place.processor).set(place.in_flight)
        if waiting or self.astray:
            self.more.set()

    async def _learn_health(self) -> None:
        """What any process's poll has brought."""
        for processor, health in (await self.payments.health()).items():
            if self.last_told.get(processor) != health:
                self.last_told[processor] = health
                self.places[processor].told(health)

    async def _poll(self, place: Place) -> None:
        """Ask the processor itself, if it is our turn; its limiter may hold the answer for 10 s."""
        wait_ms = await self.payments.take_poll(place.processor)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)
        elif (health := await place.client.health()) is not None:
            await self.payments.publish_health(place.processor, health)

    async def _forever(self, act: Callable[[], Awaitable[None]], every_seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not task.cancelling():  # asked too: redis-py can turn the cancellation of a call into an error of its own
            pause = every_seconds
            try:
                await act()
            except Busy as busy:
                self.astray = True
                self.more.set()
                pause = max(every_seconds, AWAY_SECONDS)
                log.warning("payments.store_away", reason=str(busy))
            await asyncio.sleep(pause)

    def _start(self, claim: Claim, lease: int) -> None:
        if claim.correlation_id in self.in_hand:
            return  # recalled, but not lost
        self.in_hand.add(claim.correlation_id)
        if self.handled is not None:
            self.handled.add(claim.correlation_id)
        self.places[claim.processor].opened(claim.correlation_id, time.monotonic())
        task = self.tasks.create_task(self._settle(claim, lease))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)
