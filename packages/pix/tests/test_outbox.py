"""Answers are pulled at least once, at most ten at a time, by at most six readers."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from lastro.pix.engine import outbox
from lastro.pix.errors import NoSuchReader, TooManyReaders

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"


async def test_a_pull_acknowledges_the_one_before_it(desk: Any) -> None:
    await desk.pay(*[desk.order(100) for _ in range(12)])
    await outbox.start(desk.pix, PAYEE, "reader")
    first = await outbox.pull(desk.pix, PAYEE, "reader", wait_seconds=0)
    second = await outbox.pull(desk.pix, PAYEE, "reader", wait_seconds=0)
    assert (len(first), len(second)) == (10, 2)
    assert await outbox.pull(desk.pix, PAYEE, "reader", wait_seconds=0) == []
    assert len({message.id for message in first + second}) == 12


async def test_two_readers_share_an_outbox_and_none_steals(desk: Any) -> None:
    await desk.pay(*[desk.order(100) for _ in range(15)])
    await outbox.start(desk.pix, PAYEE, "a")
    await outbox.start(desk.pix, PAYEE, "b")
    mine = await outbox.pull(desk.pix, PAYEE, "a", wait_seconds=0)
    yours = await outbox.pull(desk.pix, PAYEE, "b", wait_seconds=0)
    assert {m.id for m in mine}.isdisjoint(m.id for m in yours)
    assert len(mine) + len(yours) == 15


async def test_a_seventh_reader_is_sent_away_until_one_leaves(desk: Any) -> None:
    for number in range(6):
        await outbox.start(desk.pix, PAYEE, f"reader {number}")
    with pytest.raises(TooManyReaders):
        await outbox.start(desk.pix, PAYEE, "the seventh")
    await outbox.stop(desk.pix, PAYEE, "reader 0")
    await outbox.start(desk.pix, PAYEE, "the seventh")


async def test_a_reader_that_never_began_is_not_known(desk: Any) -> None:
    with pytest.raises(NoSuchReader):
        await outbox.pull(desk.pix, PAYEE, "nobody", wait_seconds=0)


async def test_who_reads_where_nothing_is_leaves_nothing_and_hears_the_first_answer(desk: Any) -> None:
    """A name nobody sends to costs no key that stays; the first answer is not missed by who waits for it."""
    await outbox.start(desk.pix, "77", "r1")
    assert await outbox.pull(desk.pix, "77", "r1", wait_seconds=0) == []
    assert await desk.pix.read.exists(desk.pix.keys.outbox("77")) == 0
    waiting = asyncio.create_task(outbox.pull(desk.pix, "77", "r1", wait_seconds=10))
    await desk.send(transaction_id="txn_1", backend_id="77", amount="1.00", timestamp=datetime.now(UTC).isoformat())
    await desk.work()
    assert [message.fields["transaction_id"] for message in await waiting] == ["txn_1"]


async def test_a_plain_read_goes_on_from_an_id_and_takes_nothing_away(desk: Any) -> None:
    await desk.pay(desk.order(100), desk.order(200))
    first = await outbox.read(desk.pix, PAYEE, "0", wait_seconds=0)
    again = await outbox.read(desk.pix, PAYEE, first[0].id, wait_seconds=0)
    assert [message.fields["amount_cents"] for message in first] == ["100", "200"]
    assert again == first[1:]
