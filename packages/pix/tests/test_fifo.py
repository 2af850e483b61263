"""List mode: first in, first out, counted exactly, and nothing lost with a consumer."""

import asyncio
from typing import Any

import msgspec
import pytest

from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.worker import Run
from lastro.pix.engine.fifo import Hand
from lastro.pix.engine.letters import letters
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.settings import PixSettings
from lastro.pix.simulator.original import push_many
from lastro.pix.worker.fifo import count_list

pytestmark = pytest.mark.anyio


@pytest.fixture
def pix(hub: Hub) -> Pix:
    return Pix.of(hub, PixSettings(mode="list", idle_threshold_ms=50, read_count=4, num_requests=20, batch_size=7))


def message(make_original: Any, number: int, amount: Any = 12.5) -> bytes:
    told = make_original(number) | {"amount": amount}
    del told["backend_id"]
    return msgspec.json.encode(told)


async def counted(pix: Pix) -> list[bytes]:
    found: list[bytes] = await pix.read.mget(pix.keys.count, pix.keys.amount)
    return found


async def test_messages_are_taken_oldest_first_and_counted_exactly(pix: Pix, make_original: Any) -> None:
    messages = [message(make_original, number, 0.1) for number in range(6)]
    await pix.write.lpush(pix.keys.payments, *messages)
    hand = Hand(pix, "one")
    assert await hand.take() == messages[:4]
    await hand.count(messages[:4])
    await hand.count(await hand.take())
    assert await counted(pix) == [b"6", b"0.60"]
    assert (await reconcile(pix)).findings == []


async def test_what_a_consumer_held_when_it_died_goes_back_and_is_counted_once(pix: Pix, make_original: Any) -> None:
    """A plain BRPOP would have lost it."""
    messages = [message(make_original, number) for number in range(3)]
    await pix.write.lpush(pix.keys.payments, *messages)
    await Hand(pix, "dies").take()
    heir = Hand(pix, "heir")
    await wait_for(heir.take_over, "the threshold")
    assert await heir.take() == messages
    await heir.count(messages)
    assert await counted(pix) == [b"3", b"37.50"]


async def test_a_consumer_that_comes_back_late_counts_nothing_twice(pix: Pix, make_original: Any) -> None:
    messages = [message(make_original, 1)]
    await pix.write.lpush(pix.keys.payments, *messages)
    zombie, heir = Hand(pix, "zombie"), Hand(pix, "heir")
    held = await zombie.take()
    await wait_for(heir.take_over, "the threshold")
    await heir.count(await heir.take())
    await zombie.count(held)
    assert await counted(pix) == [b"1", b"12.50"]


async def test_what_is_no_message_is_a_dead_letter(pix: Pix, make_original: Any) -> None:
    bad = [
        b"{",
        b"[]",
        message(make_original, 1, "nan"),
        message(make_original, 2, -1),
        message(make_original, 3, 0.001),
    ]
    await pix.write.lpush(pix.keys.payments, *bad, message(make_original, 4))
    hand = Hand(pix, "one")
    while held := await hand.take():
        await hand.count(held)
    assert [letter.code for letter in await letters(pix)] == ["CH16", "CH16", "AM12", "AM12", "AM12"]
    assert await counted(pix) == [b"1", b"12.50"]


async def test_the_original_injector_fills_the_list(pix: Pix) -> None:
    done = await push_many(pix)
    assert await pix.read.llen(pix.keys.payments) == done.payments == 20
    hand = Hand(pix, "one")
    while held := await hand.take():
        await hand.count(held)
    assert int(await pix.read.get(pix.keys.cents)) == done.cents


def test_the_lists_name_is_the_originals() -> None:
    assert PixSettings(mode="list", list_index=3).source == "source_list_3"
    assert PixSettings(mode="list", list_index=3, use_hashtag=True).source == "{source_list_3}"


async def test_the_worker_counts_the_list_until_told_to_stop(pix: Pix) -> None:
    done = await push_many(pix)
    run = Run(hub=pix.hub, settings=Settings())
    working = asyncio.create_task(count_list(pix, run))

    async def all_counted() -> bool:
        return (await counted(pix))[0] == b"20"

    await wait_for(all_counted, "the count")
    run.stopping.set()
    await working
    assert int(await pix.read.get(pix.keys.cents)) == done.cents
