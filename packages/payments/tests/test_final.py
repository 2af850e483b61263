"""Other domains follow payments to their end through one stream."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from lastro.core.queue.stream import StreamQueue
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.streams import Message
from lastro.core.testing import wait_for
from lastro.core.worker import Run
from lastro.core.worker.consume import Worker
from lastro.payments.engine import Payments
from lastro.payments.engine.republish import republish
from lastro.payments.model import Claim, fee_cents
from lastro.payments.settings import PaymentsSettings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def payments(hub: Hub) -> Payments:
    """An engine that lives."""
    engine = Payments(hub, PaymentsSettings())
    await engine.renew()
    return engine


async def claimed(payments: Payments, amount_cents: int = 1990, reference: str = "") -> Claim:
    """A new payment in flight at the fallback."""
    await payments.accept(str(uuid4()), amount_cents, reference)
    await payments.renew()  # a lease may be over by now: nobody keeps it here
    (claim,) = await payments.claim("fallback", 1)
    return claim


async def told(payments: Payments) -> list[dict[str, str]]:
    """All entries."""
    entries: Any = await payments.hub.read.xrange(payments.keys.final)
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]


async def test_each_end_of_a_payment_is_told_once_with_all_its_fields(payments: Payments) -> None:
    good, bad = await claimed(payments), await claimed(payments, 7, "order 7")
    for _ in range(2):
        await payments.commit(good)
        await payments.bury(bad, "400 malformed")
    common = {"processor": "fallback"}
    assert await told(payments) == [
        common
        | {
            "correlation_id": good.correlation_id,
            "state": "done",
            "amount_cents": "1990",
            "fee_cents": "298",
            "requested_at_ms": str(good.requested_at_ms),
            "reference": "",
            "reason": "",
        },
        common
        | {
            "correlation_id": bad.correlation_id,
            "state": "dead",
            "amount_cents": "7",
            "fee_cents": "0",
            "requested_at_ms": str(bad.requested_at_ms),
            "reference": "order 7",
            "reason": "400 malformed",
        },
    ]


def test_a_fee_is_rounded_half_even() -> None:
    rate = PaymentsSettings().fee_default
    assert [fee_cents(cents, rate) for cents in (1, 10, 30, 50, 1990)] == [0, 0, 2, 2, 100]


async def test_two_groups_each_hear_of_every_payment_in_order_and_then_it_is_freed(payments: Payments) -> None:
    claims = [await claimed(payments) for _ in range(20)]
    run = Run(hub=payments.hub, settings=Settings(grace_seconds=2))
    heard: dict[str, list[str]] = {"ledger": [], "coupons": []}

    async def follow(group: str) -> None:
        async def handle(messages: list[Message]) -> None:
            heard[group] += [message.fields[b"correlation_id"].decode() for message in messages]
            if all(len(ids) == len(claims) for ids in heard.values()):
                run.stopping.set()

        queue = StreamQueue(payments.hub, payments.keys.final, group=group, keep=True)
        await Worker.batches(queue, handle, size=50, concurrency=1, block_seconds=0.2).run(run)
        await queue.tend(idle_seconds=60)

    following = [asyncio.create_task(follow(group)) for group in heard]
    for claim in claims:
        await payments.commit(claim)
    await asyncio.gather(*following)
    assert heard == {group: [claim.correlation_id for claim in claims] for group in heard}
    await wait_for(lambda: _empty(payments), "the trim")


async def _empty(payments: Payments) -> bool:
    return await told(payments) == []


async def test_the_stream_is_bounded_and_what_it_dropped_is_appended_anew_from_the_books(hub: Hub) -> None:
    payments = Payments(hub, PaymentsSettings(final_max=100))
    await payments.renew()
    claims = [await claimed(payments) for _ in range(350)]
    for claim in claims:
        await payments.commit(claim)
    assert 100 <= len(await told(payments)) < 350
    await hub.write.xtrim(payments.keys.final, maxlen=0)
    payments.fees = {"default": Decimal(1), "fallback": Decimal(1)}
    first, last = claims[0].requested_at_ms, claims[20].requested_at_ms
    inside = [claim.correlation_id for claim in claims if first <= claim.requested_at_ms <= last]
    assert await republish(payments, first, last) == len(inside) > 20
    anew = await told(payments)
    assert sorted(entry["correlation_id"] for entry in anew) == sorted(inside)
    assert all(int(entry["fee_cents"]) < int(entry["amount_cents"]) for entry in anew), "the fee of that time"


async def test_what_is_entered_while_the_books_are_told_anew_leaves_nothing_out(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A charge that was sent first and is entered last moves the ranks of all others."""
    payments = Payments(hub, PaymentsSettings())
    await payments.renew()
    late, *claims = [await claimed(payments) for _ in range(60)]
    await payments.commit(*claims)
    monkeypatch.setattr("lastro.payments.engine.republish.REPUBLISH_MAX", 5)
    before = len(await told(payments))

    async def enter() -> None:
        await wait_for(lambda: _longer(payments, before + 4), "the first page")
        await payments.commit(late)

    _, appended = await asyncio.gather(enter(), republish(payments, 0, 2**45))
    anew = [entry["correlation_id"] for entry in (await told(payments))[before:]]
    assert set(anew) == {claim.correlation_id for claim in [late, *claims]}
    assert len(anew) in {len(claims) + 1, len(claims) + 2}, "the late one perhaps twice"
    assert appended in {len(claims), len(claims) + 1}


async def test_more_of_one_millisecond_than_a_page_holds_are_all_told_anew(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [replace(await claimed(payments), requested_at_ms=1_000) for _ in range(23)]
    await payments.commit(*claims)
    monkeypatch.setattr("lastro.payments.engine.republish.REPUBLISH_MAX", 5)
    assert await republish(payments, 1_000, 1_000) == len(claims)
    anew = [entry["correlation_id"] for entry in (await told(payments))[len(claims) :]]
    assert sorted(anew) == sorted(claim.correlation_id for claim in claims)


async def _longer(payments: Payments, than: int) -> bool:
    return len(await told(payments)) > than


async def test_a_purge_takes_nothing_from_who_follows(payments: Payments) -> None:
    claims = [await claimed(payments) for _ in range(2)]
    await payments.commit(*claims)
    before = await payments.charged()
    await payments.purge()
    await payments.purge()
    assert [entry["correlation_id"] for entry in await told(payments)] == [claim.correlation_id for claim in claims]
    assert await payments.charged() == before
    assert (await payments.summary())["default"].requests == 0
