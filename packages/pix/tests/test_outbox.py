"""Answers are pulled at least once, at most ten at a time, by at most six readers."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from lastro.pix.engine import outbox
from lastro.pix.errors import NoSuchReader, TooManyReaders

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"


async def test_a_pull_acknowledges_the_page_it_names(desk: Any) -> None:
    await desk.pay(*[desk.order(100) for _ in range(12)])
    await outbox.start(desk.pix, PAYEE, "reader")
    first = await outbox.pull(desk.pix, PAYEE, "reader", wait_seconds=0)
    second = await outbox.pull(desk.pix, PAYEE, "reader", got=first.name, wait_seconds=0)
    assert (len(first.messages), len(second.messages)) == (10, 2)
    assert (await outbox.pull(desk.pix, PAYEE, "reader", got=second.name, wait_seconds=0)).messages == []
    assert len({message.id for message in first.messages + second.messages}) == 12


async def test_a_pull_whose_reply_was_lost_gives_the_same_again(desk: Any) -> None:
    """What the reader does not name it has not got: neither a repeat nor its leaving acknowledges it."""
    await desk.pay(*[desk.order(100) for _ in range(25)])
    await outbox.start(desk.pix, PAYEE, "reader")
    first = await outbox.pull(desk.pix, PAYEE, "reader", wait_seconds=0)
    assert await outbox.pull(desk.pix, PAYEE, "reader", wait_seconds=0) == first
    second = await outbox.pull(desk.pix, PAYEE, "reader", got=first.name, wait_seconds=0)
    assert await outbox.pull(desk.pix, PAYEE, "reader", got=first.name, wait_seconds=0) == second
    await outbox.stop(desk.pix, PAYEE, "reader", got=first.name)
    pending = await desk.pix.read.xpending(desk.pix.keys.outbox(PAYEE), outbox.GROUP)
    assert (pending["pending"], pending["min"].decode()) == (10, second.messages[0].id)


async def test_of_two_pulls_at_once_neither_answer_is_lost(desk: Any) -> None:
    """A client gave up on its first pull and asked again, and both found something."""
    await desk.pay(*[desk.order(100) for _ in range(10)])
    await outbox.start(desk.pix, PAYEE, "reader")
    lost = await outbox.pull(desk.pix, PAYEE, "reader", wait_seconds=0)
    await desk.pay(desk.order(100))
    late = await desk.pix.write.xreadgroup(outbox.GROUP, "reader", {desk.pix.keys.outbox(PAYEE): ">"})
    heard = outbox.Page.of(late[0][1])
    first = await outbox.pull(desk.pix, PAYEE, "reader", got=heard.name, wait_seconds=0)
    assert first == lost
    assert await outbox.pull(desk.pix, PAYEE, "reader", got=first.name, wait_seconds=0) == heard


async def test_an_answer_deleted_by_hand_holds_up_none(desk: Any) -> None:
    await desk.pay(*[desk.order(100) for _ in range(11)])
    await outbox.start(desk.pix, PAYEE, "reader")
    lost = await outbox.pull(desk.pix, PAYEE, "reader", wait_seconds=0)
    await desk.pix.write.xdel(desk.pix.keys.outbox(PAYEE), *[message.id for message in lost.messages])
    empty = await outbox.pull(desk.pix, PAYEE, "reader", wait_seconds=0)
    assert (empty.messages, empty.name) == ([], lost.name)
    assert len((await outbox.pull(desk.pix, PAYEE, "reader", got=empty.name, wait_seconds=0)).messages) == 1


async def test_two_readers_share_an_outbox_and_none_steals(desk: Any) -> None:
    await desk.pay(*[desk.order(100) for _ in range(15)])
    await outbox.start(desk.pix, PAYEE, "a")
    await outbox.start(desk.pix, PAYEE, "b")
    mine = (await outbox.pull(desk.pix, PAYEE, "a", wait_seconds=0)).messages
    yours = (await outbox.pull(desk.pix, PAYEE, "b", wait_seconds=0)).messages
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
    assert (await outbox.pull(desk.pix, "77", "r1", wait_seconds=0)).messages == []
    assert await desk.pix.read.exists(desk.pix.keys.outbox("77")) == 0
    waiting = asyncio.create_task(outbox.pull(desk.pix, "77", "r1", wait_seconds=10))
    await desk.send(transaction_id="txn_1", backend_id="77", amount="1.00", timestamp=datetime.now(UTC).isoformat())
    await desk.work()
    assert [message.fields["transaction_id"] for message in (await waiting).messages] == ["txn_1"]


async def test_a_plain_read_goes_on_from_an_id_and_takes_nothing_away(desk: Any) -> None:
    await desk.pay(desk.order(100), desk.order(200))
    first = await outbox.read(desk.pix, PAYEE, "0", wait_seconds=0)
    again = await outbox.read(desk.pix, PAYEE, first[0].id, wait_seconds=0)
    assert [message.fields["amount_cents"] for message in first] == ["100", "200"]
    assert again == first[1:]
