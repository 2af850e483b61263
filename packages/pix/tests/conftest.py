"""What Pix's tests share: an engine on the clean server, participants, and a worker that can be stepped."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from lastro.core.money import decimal
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.worker import Run
from lastro.pix.engine import accounts, orders
from lastro.pix.engine.findings import Finding
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.model.ids import make_end_to_end_id, make_rtr_id
from lastro.pix.model.payment import Answer, Payment, Return
from lastro.pix.model.record import Record
from lastro.pix.settings import PixSettings
from lastro.pix.worker.stream import Consumer

PAYER, PAYEE = "99990001", "99990002"


@dataclass(slots=True)
class Desk:
    """A test's hands on the engine."""

    pix: Pix
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def open(self, *, funds_cents: int = 100_000) -> None:
        """Two participants; the payer has funds."""
        await accounts.fund(self.pix, PAYER, funds_cents, "open")
        await accounts.fund(self.pix, PAYEE, 0, "open")

    def order(self, amount_cents: int = 1_000, **changes: Any) -> Payment:
        """A payment from PAYER to PAYEE, with an id of its own."""
        payer = changes.get("payer", PAYER)
        made = Payment(
            end_to_end_id=make_end_to_end_id(payer, datetime.now(UTC), f"{next(self.numbers):011d}"),
            payer=PAYER,
            payee=PAYEE,
            amount=decimal(amount_cents),
        )
        return msgspec.structs.replace(made, **changes)

    def giving_back(self, payment: Payment, amount_cents: int, **changes: Any) -> Return:
        """A return of a payment by its receiver."""
        made = Return(
            rtr_id=make_rtr_id(payment.payee, datetime.now(UTC), f"{next(self.numbers):011d}"),
            end_to_end_id=payment.end_to_end_id,
            amount=decimal(amount_cents),
            reason="MD06",
        )
        return msgspec.structs.replace(made, **changes)

    def consumer(self) -> Consumer:
        """A worker of its own name."""
        return Consumer(self.pix, Run(hub=self.pix.hub, settings=Settings()))

    async def work(self) -> None:
        """One worker takes everything that waits."""
        consumer = self.consumer()
        await consumer.ensure_groups()
        for source in consumer.sources:
            while await self.lag(source):
                await consumer.process_all(await consumer.read(normal=True))

    async def lag(self, source: str) -> int:
        """Entries no worker has read."""
        groups = await self.pix.read.xinfo_groups(source)
        last = groups[0]["last-delivered-id"].decode()
        return len(await self.pix.read.xrange(source, min=f"({last}" if last != "0-0" else "-", count=1))

    async def pay(self, *payments: Payment) -> None:
        """Submit and accept."""
        await orders.submit(self.pix, payments)
        await self.work()

    async def answer(self, *payments: Payment, reason: str = "", payee: str = PAYEE) -> None:
        """The receiver accepts, or refuses with a code."""
        status: Any = "RJCT" if reason else "ACSP"
        await orders.answer(
            self.pix,
            [
                Answer(end_to_end_id=payment.end_to_end_id, payee=payee, status=status, reason=reason)
                for payment in payments
            ],
        )
        await self.work()

    async def settled(self, amount_cents: int = 1_000) -> Payment:
        """A payment that went all the way."""
        payment = self.order(amount_cents)
        await self.pay(payment)
        await self.answer(payment)
        return payment

    async def status(self, payment: Payment) -> Record:
        """What became of it."""
        return await orders.status(self.pix, payment.end_to_end_id)

    async def heard(self, backend_id: str) -> list[dict[str, str]]:
        """Everything in a backend's outbox."""
        entries = await self.pix.read.xrange(self.pix.keys.outbox(backend_id))
        return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]

    async def balances(self) -> tuple[int, int, int]:
        """PAYER's free and held centavos, PAYEE's free ones."""
        payer, payee = await accounts.account(self.pix, PAYER), await accounts.account(self.pix, PAYEE)
        return payer.free_cents, payer.held_cents, payee.free_cents

    async def findings(self) -> Sequence[Finding]:
        """What does not add up."""
        return (await reconcile(self.pix)).findings

    async def send(self, source: str | None = None, **fields: str) -> bytes:
        """A raw stream entry, as any producer writes it."""
        entry: bytes = await self.pix.write.xadd(source or self.pix.keys.payments, dict(fields))
        return entry

    @asynccontextmanager
    async def workers(self, count: int = 1) -> AsyncIterator[None]:
        """So many workers running, all loops."""
        consumers = [self.consumer() for _ in range(count)]
        tasks = [
            asyncio.create_task(loop())
            for consumer in consumers
            for loop in (consumer.take, consumer.take_over, consumer.hold, consumer.sweep)
        ]
        try:
            yield
        finally:
            for consumer in consumers:
                consumer.run.stopping.set()
            await asyncio.gather(*tasks)


def original(number: int = 1, amount: str = "12.50", backend_id: str = "1", **changes: str) -> dict[str, str]:
    """A message of the original system."""
    return {
        "transaction_id": f"txn_{number:06d}",
        "backend_id": backend_id,
        "amount": amount,
        "timestamp": datetime.now().astimezone().replace(tzinfo=None).isoformat(),
    } | changes


@pytest.fixture
def pix_settings() -> PixSettings:
    return PixSettings(idle_threshold_ms=300, deadline_ms=40_000)


@pytest.fixture
def pix(hub: Hub, pix_settings: PixSettings) -> Pix:
    return Pix.of(hub, pix_settings)


@pytest.fixture
async def desk(pix: Pix) -> Desk:
    made = Desk(pix)
    await made.open()
    return made


@pytest.fixture
def desk_of() -> type[Desk]:
    """A desk at an engine of the test's own."""
    return Desk


@pytest.fixture
def make_original() -> Any:
    return original
