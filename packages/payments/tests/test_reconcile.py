"""``lastro check`` finds each kind of corruption, by its id."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from lastro.core.redis import Hub
from lastro.payments.engine import Payments
from lastro.payments.engine.reconcile import reconcile
from lastro.payments.model import Claim
from lastro.payments.settings import PaymentsSettings

pytestmark = pytest.mark.anyio

Plant = Callable[[Payments, str], Awaitable[Any]]


async def _book_gone(payments: Payments, done: str) -> None:
    member = f"default|{done}|1990"
    await payments.hub.write.zrem(payments.keys.by_date, member)


async def _record_gone(payments: Payments, done: str) -> None:
    await payments.hub.write.hdel(payments.keys.known, done)


async def _wrong_cent(payments: Payments, done: str) -> None:
    record: Any = await payments.hub.read.hget(payments.keys.known, done)
    await payments.hub.write.hset(payments.keys.known, done, record.replace(b"1990", b"1991"))


async def _back_in_time(payments: Payments, done: str) -> None:
    record: Any = await payments.hub.read.hget(payments.keys.known, done)
    await payments.hub.write.hset(payments.keys.known, done, record.replace(b"done", b"queued"))


async def _out_of_the_queue(payments: Payments, done: str) -> None:
    await payments.hub.write.delete(payments.keys.queue)


async def _skewed_total(payments: Payments, done: str) -> None:
    await payments.hub.write.hincrby(payments.keys.totals("default"), "all:c", 1)


async def _charged_again(payments: Payments, done: str) -> None:
    """What a stalled process had sent was charged after all, and by then another one had charged it elsewhere."""
    late = Claim(correlation_id=done, amount_cents=1990, processor="fallback", requested_at_ms=7, attempts=1)
    await payments.commit(late)


async def _no_owner(payments: Payments, done: str) -> None:
    await payments.claim("fallback", 1)
    await payments.hub.write.delete(payments.keys.in_flight(payments.owner))


async def _not_among_the_dead(payments: Payments, done: str) -> None:
    (claim,) = await payments.claim("fallback", 1)
    await payments.bury(claim, "400")
    await payments.hub.write.delete(payments.keys.dead)


async def test_two_charges_of_one_payment_that_come_to_light_together_are_one_too_many(payments: Payments) -> None:
    (claim,) = await payments.claim("default", 1)
    await payments.commit(claim, replace(claim, processor="fallback"))
    assert [finding for finding in await reconcile(payments) if "a second time: fallback|5|" in finding]
    assert (await payments.summary())["fallback"].requests == 0


@pytest.fixture
async def payments(hub: Hub) -> Payments:
    """One payment done and one queued."""
    engine = Payments(hub, PaymentsSettings())
    await engine.renew()
    await engine.accept(str(uuid4()), 1990)
    (claim,) = await engine.claim("default", 1)
    await engine.commit(claim)
    await engine.accept(str(uuid4()), 5)
    return engine


async def done(payments: Payments) -> str:
    """The id of the payment that is done."""
    (member,) = await payments.hub.read.zrange(payments.keys.by_date, 0, -1)
    assert isinstance(member, bytes)
    return member.decode().split("|")[1]


async def test_books_that_add_up_are_silent(payments: Payments) -> None:
    assert await reconcile(payments) == []


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (_book_gone, "nobody's books"),
        (_record_gone, "not among the records"),
        (_wrong_cent, "its record says otherwise"),
        (_back_in_time, "but in the books"),
        (_out_of_the_queue, "not in the queue"),
        (_skewed_total, "totals of default"),
        (_charged_again, "charged a second time: fallback|1990|7"),
        (_no_owner, "no owner"),
        (_not_among_the_dead, "not among the dead"),
    ],
)
async def test_a_planted_corruption_is_named(payments: Payments, plant: Plant, says: str) -> None:
    await plant(payments, await done(payments))
    assert any(says in finding for finding in await reconcile(payments))


async def test_traffic_is_never_taken_for_an_error(payments: Payments) -> None:
    """Payments are accepted, claimed, released and committed all the while; the totals of what stands still agree."""
    stop = asyncio.Event()

    async def traffic() -> None:
        while not stop.is_set():
            await asyncio.gather(*(payments.accept(str(uuid4()), 1990) for _ in range(20)))
            claims = await payments.claim("default", 20)
            await asyncio.gather(*(payments.release(claim) for claim in claims[:5]))
            if claims[5:]:
                await payments.commit(*claims[5:])

    busy = [asyncio.create_task(traffic()) for _ in range(3)]
    pages: list[tuple[int, int]] = []
    for _ in range(4):
        assert await reconcile(payments, lambda done, total: pages.append((done, total))) == []
        await payments.renew()
    stop.set()
    await asyncio.gather(*busy)
    assert await reconcile(payments) == []
    assert pages
