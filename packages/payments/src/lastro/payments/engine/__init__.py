"""What payments can do. Each method is one business act and at most one script.

The life of a payment: **queued** → **in flight** (claimed by a process for one processor, with the ``requestedAt`` that
will be sent) → **done** (in the books) or **dead** (refused for what it is; an operator queues it again, or drops it).
Reference: the rules of exactly once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

from lastro.core import tracing
from lastro.core.clock import now_ms
from lastro.core.errors import Busy
from lastro.core.redis import Hub
from lastro.core.scripts import Batch, insist
from lastro.payments import scripts
from lastro.payments.errors import BadPayment, UnknownPayment
from lastro.payments.keys import CLUSTER_PREFIX, Keys
from lastro.payments.model import AMOUNT_CENTS_MAX, PROCESSORS, Claim, Health, Payment, Processor, Totals, fee_cents
from lastro.payments.settings import PaymentsSettings

CLAIM_MAX = 100
LEASE_MS = 3_000
PAGE_MAX = 1_000
WRITE_SECONDS = 1.2
"""How long an accepted payment may wait for a store that is away before its sender hears 503."""
SETTLE_SECONDS = 60.0
"""How long the result of a charge is kept and written again; the next owner finds it out after that."""


class Choice(NamedTuple):
    """Where a payment would go now, and in which unbroken lease of this process that was chosen."""

    processor: Processor
    lease: int


class Renewed(NamedTuple):
    """What the store said of the leases."""

    kept: bool
    """This process's had not ended, by the store's clock: nobody took over what it has in flight."""
    dead: list[str]
    """The owners whose lease is over."""


class Sending(Protocol):
    """The sending half of the same process: what is accepted here may be claimed in the same step, and sent at once."""

    def choose(self) -> Choice | None:
        """Where a payment would go now; it holds that place until ``took``."""

    def took(self, choice: Choice | None, claim: Claim | None, *, lost: bool) -> None:
        """What came of it: a claim to send; or none: it waits, or was known, or the store's answer was ``lost``."""


@dataclass(eq=False)
class Payments:
    """Payments on a hub; ``owner`` is this process's name for what it claims."""

    hub: Hub
    settings: PaymentsSettings
    owner: str = field(default_factory=lambda: uuid4().hex[:12])
    sending: Sending | None = None

    def __post_init__(self) -> None:
        self.keys = Keys(self.settings.keyspace or (CLUSTER_PREFIX if self.hub.capabilities.cluster else ""))
        self.batch = Batch(self.hub)
        self.fees: dict[Processor, Decimal] = {
            "default": self.settings.fee_default,
            "fallback": self.settings.fee_fallback,
        }

    @classmethod
    def of(cls, hub: Hub) -> "Payments":
        """The one that all faces of this process share, with the settings of its environment."""
        return hub.one(cls, lambda: cls(hub, PaymentsSettings.read()))

    async def accept(self, correlation_id: str, amount_cents: int, reference: str = "") -> bool:
        """Record it, once, queued or already claimed; True when it is new. Durable when this returns.

        Raises BadPayment for an amount that none can have, and Busy.
        """
        if not 0 < amount_cents <= AMOUNT_CENTS_MAX:
            raise BadPayment(
                field="amount", reason="not a positive number with at most two decimals, up to ten billion"
            )
        began, sending = tracing.now(), self.sending
        choice = sending.choose() if sending else None
        processor = choice.processor if choice else None

        def act() -> "asyncio.Future[str]":
            return self.batch.submit(
                scripts.accept,
                known=self.keys.known,
                queue=self.keys.queue,
                in_flight=self.keys.in_flight(self.owner),
                owners=self.keys.owners,
                correlation_id=correlation_id,
                amount_cents=amount_cents,
                reference=reference,
                owner=self.owner,
                processor=processor or "",
            )

        answer, lost = "", True
        try:
            try:
                answer = await act()
                lost = False
            except Busy:
                answer = await insist(act, within_seconds=WRITE_SECONDS)
        finally:
            if sending:
                sending.took(choice, _claim(correlation_id, amount_cents, processor, answer), lost=lost)
        if answer != "again":
            tracing.record("payments.accept", correlation_id, began, root=True, amount_cents=amount_cents)
        return answer != "again"

    async def claim(self, processor: Processor, count: int) -> list[Claim]:
        """Take up to ``count`` of the oldest for a processor; from here on only their outcome there matters."""
        flat = await self.batch.submit(
            scripts.claim,
            queue=self.keys.queue,
            known=self.keys.known,
            in_flight=self.keys.in_flight(self.owner),
            owners=self.keys.owners,
            owner=self.owner,
            processor=processor,
            count=min(count, CLAIM_MAX),
        )
        return [
            Claim(
                correlation_id=id_.decode(),
                amount_cents=int(amount),
                processor=processor,
                requested_at_ms=int(at),
                attempts=int(attempts),
            )
            for id_, amount, at, attempts in _rows(flat, 4)
        ]

    async def commit(self, *claims: Claim) -> None:
        """Enter each into its processor's books, once, at most CLAIM_MAX; kept and repeated while the store is away."""
        items: list[str | int] = []
        began = tracing.now()
        for claim in claims:
            fee = fee_cents(claim.amount_cents, self.fees[claim.processor])
            items += (claim.processor, claim.correlation_id, claim.amount_cents, claim.requested_at_ms, fee)
        await insist(
            lambda: self.batch.submit(
                scripts.commit,
                known=self.keys.known,
                in_flight=self.keys.in_flight(self.owner),
                by_date=self.keys.by_date,
                final=self.keys.final,
                totals_default=self.keys.totals("default"),
                totals_fallback=self.keys.totals("fallback"),
                dead=self.keys.dead,
                doubled=self.keys.doubled,
                final_max=self.settings.final_max,
                items=items,
            ),
            within_seconds=SETTLE_SECONDS,
        )
        for claim in claims:
            tracing.record("payments.commit", claim.correlation_id, began, together=len(claims))

    async def release(self, claim: Claim) -> bool:
        """Give back to the queue what is known not to be charged; False when it is not claimed so any more."""
        word = await insist(
            lambda: self.batch.submit(
                scripts.release,
                known=self.keys.known,
                in_flight=self.keys.in_flight(self.owner),
                queue=self.keys.queue,
                correlation_id=claim.correlation_id,
                owner=self.owner,
                processor=claim.processor,
                requested_at_ms=claim.requested_at_ms,
            ),
            within_seconds=SETTLE_SECONDS,
        )
        return word == "ok"

    async def bury(self, claim: Claim, reason: str) -> bool:
        """Set aside what the processor refuses for what it is, with its reason; False as for ``release``."""
        word = await insist(
            lambda: self.batch.submit(
                scripts.bury,
                known=self.keys.known,
                in_flight=self.keys.in_flight(self.owner),
                final=self.keys.final,
                dead=self.keys.dead,
                correlation_id=claim.correlation_id,
                owner=self.owner,
                processor=claim.processor,
                requested_at_ms=claim.requested_at_ms,
                reason=reason,
                final_max=self.settings.final_max,
            ),
            within_seconds=SETTLE_SECONDS,
        )
        return word == "ok"

    async def renew(self) -> Renewed:
        """Say that this process lives."""
        kept, *dead = await scripts.renew(self.hub.write, owners=self.keys.owners, owner=self.owner, lease_ms=LEASE_MS)
        return Renewed(kept=bool(kept), dead=[name.decode() for name in dead])

    async def recover(self, dead: str) -> list[Claim]:
        """Take over what a dead owner had in flight, at most CLAIM_MAX at a time; each is of unknown outcome."""
        flat = await scripts.recover(
            self.hub.write,
            owners=self.keys.owners,
            known=self.keys.known,
            theirs=self.keys.in_flight(dead),
            mine=self.keys.in_flight(self.owner),
            dead=dead,
            owner=self.owner,
            lease_ms=LEASE_MS,
            count=CLAIM_MAX,
        )
        return _unknown(flat)

    async def recall(self) -> list[Claim]:
        """What this owner has in flight, as of unknown outcome, at one moment: some of it may be in hand."""
        return _unknown(
            await scripts.recall(
                self.hub.write, known=self.keys.known, in_flight=self.keys.in_flight(self.owner), owner=self.owner
            )
        )

    async def take_poll(self, processor: Processor) -> int:
        """0 for one process of all, once per ``poll_seconds``: it may ask the processor. Else how many ms to wait."""
        every_ms = int(self.settings.poll_seconds * 1000)
        return await scripts.take_poll(self.hub.write, health=self.keys.health, processor=processor, every_ms=every_ms)

    async def publish_health(self, processor: Processor, health: Health) -> None:
        """Tell all processes what the processor said."""
        await self.hub.write.hset(self.keys.health, processor, f"{int(health.failing)}|{health.delay_ms}")

    async def health(self) -> dict[Processor, Health]:
        """What the processors last said of themselves; healthy until one has spoken."""
        told: list[Any] = await self.hub.read.hmget(self.keys.health, list(PROCESSORS))
        found: dict[Processor, Health] = {}
        for processor, text in zip(PROCESSORS, told, strict=True):
            failing, delay = (text or b"0|0").split(b"|")
            found[processor] = Health(failing=failing == b"1", delay_ms=int(delay))
        return found

    async def summary(self, from_ms: int | None = None, to_ms: int | None = None) -> dict[Processor, Totals]:
        """What each processor charged in ``from``..``to``, both included, each open when None; exact."""

        async def look() -> list[Any]:
            try:
                async with asyncio.timeout(self.settings.redis_timeout):
                    return await self.batch.submit(
                        scripts.summarize,
                        by_date=self.keys.by_date,
                        totals=[self.keys.totals(processor) for processor in PROCESSORS],
                        from_ms="" if from_ms is None else from_ms,
                        to_ms="" if to_ms is None else to_ms,
                    )
            except TimeoutError:
                raise Busy from None

        flat = await insist(look, within_seconds=WRITE_SECONDS)
        return {
            processor: Totals(requests=int(count), amount_cents=int(cents))
            for processor, (count, cents) in zip(PROCESSORS, _rows(flat, 2), strict=True)
        }

    async def payment(self, correlation_id: str) -> Payment:
        """One payment as it stands. Raises UnknownPayment."""
        record: Any = await self.hub.read.hget(self.keys.known, correlation_id)
        if record is None:
            raise UnknownPayment(correlation_id=correlation_id)
        return _payment(correlation_id, record)

    async def pending(self) -> list[Payment]:
        """The oldest that wait, and what is in flight: at most PAGE_MAX of each."""
        read = self.hub.read
        ids: list[Any] = (await read.lrange(self.keys.queue, -PAGE_MAX, -1))[::-1]
        owners: list[Any] = await read.hkeys(self.keys.owners)
        for owner in owners:
            _, flying = await read.sscan(self.keys.in_flight(owner.decode()), count=PAGE_MAX)
            ids += flying
        return [one for one in await self.records(ids) if one.state in {"queued", "in_flight"}]

    async def records(self, ids: list[Any]) -> list[Payment]:
        """Those of these that are known, as they stand."""
        records: list[Any] = await self.hub.read.hmget(self.keys.known, ids) if ids else []
        return [_payment(id_.decode(), record) for id_, record in zip(ids, records, strict=True) if record]

    async def flying(self) -> int:
        """How many are claimed and not settled, over all processes."""
        owners: list[Any] = await self.hub.read.hkeys(self.keys.owners)
        return sum([int(await self.hub.read.scard(self.keys.in_flight(owner.decode()))) for owner in owners])

    async def waiting(self) -> int:
        """How many are queued and not claimed."""
        return int(await self.hub.read.llen(self.keys.queue))

    async def oldest_ms(self) -> int:
        """For how long the oldest that is queued has waited; 0 when none is."""
        last: Any = await self.hub.read.lindex(self.keys.queue, -1)
        record: Any = await self.hub.read.hget(self.keys.known, last.decode()) if last else None
        state, _, _, since, *_ = record.decode().split("|") if record else ("", "", "", "")
        return max(0, now_ms() - int(since)) if state == "queued" else 0

    async def purge(self) -> None:
        """Forget everything, known ids included, at once. What was charged is still told to whoever follows."""
        owners: list[Any] = await self.hub.read.hkeys(self.keys.owners)
        await scripts.purge(
            self.hub.write,
            purged=self.keys.purged,
            totals_default=self.keys.totals("default"),
            totals_fallback=self.keys.totals("fallback"),
            forgotten=[self.keys.queue, self.keys.by_date, self.keys.known, self.keys.dead, self.keys.doubled]
            + [self.keys.in_flight(owner.decode()) for owner in owners],
        )

    async def charged(self) -> dict[Processor, int]:
        """The cents that each processor ever charged, what was purged since included."""
        before, purged = None, await self.hub.read.hgetall(self.keys.purged)
        while before != purged:  # a purge in between
            before, totals = purged, await self.summary()
            purged = await self.hub.read.hgetall(self.keys.purged)
        return {each: totals[each].amount_cents + int(purged.get(each.encode(), 0)) for each in PROCESSORS}


def _rows(flat: Sequence[Any], width: int) -> list[tuple[Any, ...]]:
    return [tuple(flat[i : i + width]) for i in range(0, len(flat), width)]


def _unknown(flat: Sequence[Any]) -> list[Claim]:
    return [
        Claim(
            correlation_id=id_.decode(),
            amount_cents=int(amount),
            processor="default" if processor == b"default" else "fallback",
            requested_at_ms=int(at),
            attempts=int(attempts),
            unknown=True,
        )
        for id_, amount, processor, at, attempts in _rows(flat, 5)
    ]


def _claim(correlation_id: str, amount_cents: int, processor: Processor | None, answer: str) -> Claim | None:
    if processor is None or not answer.isdecimal():
        return None
    return Claim(
        correlation_id=correlation_id,
        amount_cents=amount_cents,
        processor=processor,
        requested_at_ms=int(answer),
    )


def _payment(correlation_id: str, record: bytes) -> Payment:
    state, cents, processor, at, attempts, reference, note = record.decode().split("|", 6)
    return Payment(
        correlation_id=correlation_id,
        amount_cents=int(cents),
        state=state,  # type: ignore[arg-type]  # the scripts write no other
        processor=processor or None,  # type: ignore[arg-type]  # likewise
        requested_at_ms=int(at) if at and processor else None,
        attempts=int(attempts),
        reference=reference or None,
        reason=note if state in {"dead", "discarded"} else None,
    )
