"""Several Pix engines as one: each participant is at home in one, and pays from there.

A payment is settled where its payer is at home, by the same scripts as ever, and the receiver's account *there* gets
the money. It goes home in sums: one move for all that came since the last, by three steps, of which any may be taken
again by anybody: it leaves (and is noted where it left), it arrives (once, by its number), and the note goes.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Self

from lastro.core.errors import Invalid, Refused
from lastro.core.keys import SLOTS, slot
from lastro.core.redis import Hub
from lastro.pix import scripts
from lastro.pix.errors import ReturnRefused
from lastro.pix.keys import Keys
from lastro.pix.model.payment import Answer, Payment, Return, amount_cents
from lastro.pix.model.places import home, place_of
from lastro.pix.model.record import Record
from lastro.pix.settings import PixSettings

from . import accounts, orders, refunds
from .accounts import Account
from .findings import Finding
from .pix import Pix

SHARDS_MAX = 1_024
TRIES = 5
"""A sum fetched for a return may be on its way home again before the return has it."""


class NeedsCluster(Refused):
    """Pix in shards needs a cluster: elsewhere the original names of counters and outboxes are one engine's."""

    code = "pix.needs_cluster"


def stream_of(stream: str, number: int, shards: int) -> str:
    """The payments stream of one shard, such that the slots of all of them divide a cluster's evenly."""
    for salt in count():
        name = f"{stream}.{number}" + (f"-{salt}" if salt else "")
        if slot(name) * shards // SLOTS == number:
            return name
    raise AssertionError


@dataclass(frozen=True, slots=True)
class PixShards:
    """The engines, and who is where. Each has workers of its own (``LASTRO_PIX_STREAM``)."""

    engines: Sequence[Pix]

    @classmethod
    def of(cls, hub: Hub, settings: PixSettings, shards: int) -> Self:
        """On a cluster. Raises NeedsCluster, Invalid."""
        if not hub.capabilities.cluster:
            raise NeedsCluster
        if not 1 <= shards <= SHARDS_MAX:
            raise Invalid(field="shards", reason=f"1 to {SHARDS_MAX}")
        names = [stream_of(settings.stream, number, shards) for number in range(shards)]
        keys = [Keys.of(name, settings.response_prefix, cluster=True) for name in names]
        return cls([Pix(hub, settings.model_copy(update={"stream": each.payments}), each) for each in keys])

    def at_home(self, ispb: str) -> Pix:
        """The engine that a participant pays from."""
        return self.engines[home(ispb, len(self.engines))]

    def engine(self, end_to_end_id: str) -> Pix:
        """The engine that a payment is settled by."""
        return self.engines[place_of(end_to_end_id, len(self.engines))]

    async def fund(self, ispb: str, amount_cents: int, act: str) -> Account:
        """Put money into a participant's account at home, or take it out, once for that act; it is known everywhere."""
        own = self.at_home(ispb)
        await accounts.fund(own, ispb, amount_cents, act)
        for engine in self.engines:
            if engine is not own:
                await accounts.fund(engine, ispb, 0, "shards")
        return await self.account(ispb)

    async def suspend(self, ispb: str, *, active: bool) -> Account:
        """Let a participant pay and receive, or not, everywhere."""
        for engine in self.engines:
            await accounts.suspend(engine, ispb, active=active)
        return await self.account(ispb)

    async def account(self, ispb: str) -> Account:
        """One account, over all shards; ``free_cents`` is what it can pay with, at home. Raises NoSuchParticipant."""
        parts = [await accounts.account(engine, ispb) for engine in self.engines]
        own = parts[home(ispb, len(parts))]
        names = ("held_cents", "funded_cents", "in_cents", "out_cents")
        return replace(own, **{name: sum(getattr(part, name) for part in parts) for name in names})

    async def submit(self, payments: Sequence[Payment]) -> list[Record | None]:
        """Take orders of one payer, as an engine does; none whose id is another payer's."""
        if any(payment.end_to_end_id[1:9] != payment.payer for payment in payments):
            raise Invalid(field="end_to_end_id", reason="names another payer: the shards are found by it")
        return await orders.submit(self.at_home(payments[0].payer), payments) if payments else []

    async def answer(self, answers: Sequence[Answer]) -> None:
        """Take one receiver's answers, each to the engine that asked; all of an engine or none."""
        by_engine: dict[int, list[Answer]] = {}
        for given in answers:
            by_engine.setdefault(place_of(given.end_to_end_id, len(self.engines)), []).append(given)
        for number, some in by_engine.items():
            await orders.answer(self.engines[number], some)

    async def status(self, payment_id: str, original: str = "") -> Record:
        """What became of a payment, or of a return of that original. Raises NoSuchPayment."""
        return await orders.status(self.engine(original or payment_id), payment_id)

    async def refund(self, order: Return) -> Record:
        """Give back, once. The payer's engine has the payment: what is given back is fetched there first."""
        number, cents = place_of(order.end_to_end_id, len(self.engines)), amount_cents(order.amount)
        for last in range(TRIES, 0, -1):
            try:
                return await refunds.refund(self.engines[number], order)
            except ReturnRefused as refused:
                own = home(order.sender, len(self.engines))
                if refused.about.get("spi") != "AM04" or own == number or last == 1 or not isinstance(cents, int):
                    raise
                if not await self.move(order.sender, own, number, cents):
                    raise  # home does not have it either
        raise AssertionError

    async def move(self, ispb: str, origin: int, to: int, cents: int = 0) -> int:
        """Move what a participant has in one shard to another, 0 for all; how much arrived, an older sum first."""
        here, there = self.engines[origin], self.engines[to]
        told = await scripts.send_away(
            here.hub.write,
            accounts=here.keys.accounts,
            leaving=here.keys.leaving,
            movements=here.keys.movements,
            ispb=ispb,
            to=to,
            amount_cents=cents,
        )
        if not told:
            return 0
        number, going = int(told[0]), int(told[1])
        await scripts.take_in(
            there.hub.write,
            accounts=there.keys.accounts,
            arrived=there.keys.arrived,
            movements=there.keys.movements,
            ispb=ispb,
            origin=origin,
            number=number,
            amount_cents=going,
        )
        await scripts.has_arrived(
            here.hub.write, leaving=here.keys.leaving, ispb=ispb, to=to, number=number, amount_cents=going
        )
        return going

    async def sweep(self) -> int:
        """Bring home what participants have elsewhere, and to its end what somebody left half way; centavos moved."""
        moved = 0
        for number, engine in enumerate(self.engines):
            for ispb, to in [*await self._on_their_way(number)]:
                moved += await self.move(ispb, number, to)
            for account in await accounts.accounts(engine):
                own = home(account.ispb, len(self.engines))
                if account.free_cents and own != number:
                    moved += await self.move(account.ispb, number, own)
        return moved

    async def between(self) -> AsyncIterator[Finding]:
        """What does not add up between two shards: a sum that left and neither is on its way nor arrived.

        Also while money moves: what had arrived when somebody's note was read lies between two readings around it.
        """
        before = await self._arrived()
        leaving = [await engine.read.hgetall(engine.keys.leaving) for engine in self.engines]
        after = await self._arrived()
        for number, notes in enumerate(leaving):
            for field, value in notes.items():
                to, _, ispb = field.decode().partition(":")
                left, going = map(int, value.split())
                sums = f"{number}:{ispb}".encode()
                least, most = (int(arrived[int(to)].get(sums, 0)) for arrived in (before, after))
                if least > left or most < left - bool(going):
                    yield Finding("wrong_balance", ispb, f"{left} sums left shard {number} for {to}, {most} arrived")

    async def _arrived(self) -> list[dict[bytes, bytes]]:
        return [await engine.read.hgetall(engine.keys.arrived) for engine in self.engines]

    async def _on_their_way(self, number: int) -> list[tuple[str, int]]:
        engine = self.engines[number]
        found = await engine.read.hgetall(engine.keys.leaving)
        going = [field.decode().partition(":") for field, value in found.items() if not value.endswith(b" 0")]
        return [(ispb, int(to)) for to, _, ispb in going]
