"""List mode: first in, first out, counted exactly, and nothing lost with a consumer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from lastro.core.errors import Fault
from lastro.core.queue.lists import ListQueue
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.worker import Run
from lastro.pix.engine.fifo import count
from lastro.pix.engine.letters import letters, replay
from lastro.pix.engine.pix import GAP_HOURS, Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.settings import PixSettings
from lastro.pix.simulator.original import push_many
from lastro.pix.worker.fifo import count_list

DEEP = b'{"unknown": %s%s}' % (b"[" * 1_100, b"]" * 1_100)
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


@asynccontextmanager
async def working(pix: Pix) -> AsyncIterator[None]:
    """A worker, until the block ends."""
    run = Run(hub=pix.hub, settings=Settings())
    task = asyncio.create_task(count_list(pix, run))
    try:
        yield
    finally:
        run.stopping.set()
        await task


async def all_counted(pix: Pix, count: int) -> None:
    async def done() -> bool:
        return (await counted(pix))[0] == b"%d" % count

    await wait_for(done, "the count")


async def test_messages_are_taken_oldest_first_and_counted_exactly(pix: Pix, make_original: Any) -> None:
    messages = [message(make_original, number, 0.1) for number in range(6)]
    await pix.write.lpush(pix.keys.payments, *messages)
    reader = ListQueue(pix.hub, pix.keys.payments).consumer("first", block_seconds=0.1)
    found = await reader.read(2, block_seconds=0)
    assert [each.fields for each in found] == [{b"body": each} for each in messages[:2]]
    assert await reader.release() == 2
    await reader.aclose()
    async with working(pix):
        await all_counted(pix, 6)
    assert await counted(pix) == [b"6", b"0.60"]
    assert (await reconcile(pix)).findings == []
    assert [key for key in await pix.read.keys("*taken*")] == []  # noqa: C416 - nothing is left in a hand


async def test_what_a_consumer_held_when_it_died_is_counted_once(pix: Pix, make_original: Any) -> None:
    """A plain BRPOP would have lost it; and the dead one may have counted it before it died."""
    messages = [message(make_original, number) for number in range(3)]
    await pix.write.lpush(pix.keys.payments, *messages)
    dying = ListQueue(pix.hub, pix.keys.payments).consumer("dies", lease_seconds=0.05, block_seconds=0.1)
    held = await dying.read(3, block_seconds=0)
    await count(pix, [each.fields[b"body"] for each in held[:1]])
    await dying.aclose()
    async with working(pix):
        await all_counted(pix, 3)
        queue = ListQueue(pix.hub, pix.keys.payments)

        async def empty() -> bool:
            told = await queue.measure()
            return (told.lag, told.pending) == (0, 0)

        await wait_for(empty, "the last acknowledgement")
    assert await counted(pix) == [b"3", b"37.50"]


async def test_what_is_no_message_is_a_dead_letter(pix: Pix, make_original: Any) -> None:
    bad = [
        b"{",
        b"[]",
        message(make_original, 1, "nan"),
        message(make_original, 2, -1),
        message(make_original, 3, 0.001),
        DEEP,
    ]
    await pix.write.lpush(pix.keys.payments, *bad, message(make_original, 4))
    async with working(pix):
        await all_counted(pix, 1)
    found = await letters(pix)
    assert sorted(letter.code for letter in found) == ["AM12", "AM12", "AM12", "CH16", "CH16", "CH16"]
    assert sorted(letter.fields["message"].encode() for letter in found) == sorted(bad)
    assert all(len(letter.reason) > len("dead") for letter in found)
    assert await counted(pix) == [b"1", b"12.50"]


async def test_a_message_whose_minute_ends_and_is_forgotten_meanwhile_is_a_dead_letter(
    pix: Pix, make_original: Any
) -> None:
    """This process still relies on the minute; nothing that was not counted is acknowledged as if it were."""
    old = partial(make_original, timestamp=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    first, second = message(old, 1), message(old, 2)
    await count(pix, [first])
    later = replace(pix, settings=pix.settings.model_copy(update={"window_hours": -GAP_HOURS}))
    for minute in await pix.read.zrange(pix.keys.minutes, 0, -1):
        await pix.write.delete(pix.keys.records(minute.decode()))
    await count(later, [second])
    assert [letter.code for letter in await letters(pix)] == ["DT02"]
    assert await counted(pix) == [b"1", b"12.50"]


async def test_a_dead_letter_of_the_list_goes_back_onto_it_once_whole(pix: Pix, make_original: Any) -> None:
    """An id that was used for another amount: nothing of the message is lost, whatever lies at the list's name."""
    first = make_original(1)
    for amount in (12.5, 20):
        told = {name: value for name, value in first.items() if name != "backend_id"} | {"amount": amount}
        await pix.write.lpush(pix.keys.payments, msgspec.json.encode(told))
    async with working(pix):
        await wait_for(lambda: letters(pix), "the dead letter")
    (letter,) = await letters(pix)
    assert (letter.code, msgspec.json.decode(letter.fields["message"])["amount"]) == ("FF08", 20)
    await pix.write.set(pix.keys.payments, "not a list", ex=60)
    with pytest.raises(Fault, match="is a string"):
        await replay(pix, letter.id)
    await pix.write.delete(pix.keys.payments)
    assert await replay(pix, letter.id)
    assert await pix.read.lrange(pix.keys.payments, 0, -1) == [letter.fields["message"].encode()]
    assert await letters(pix) == []


async def test_the_original_injector_fills_the_list(pix: Pix) -> None:
    done = await push_many(pix)
    assert await pix.read.llen(pix.keys.payments) == done.payments == 20
    async with working(pix):
        await all_counted(pix, 20)
    assert int(await pix.read.get(pix.keys.cents)) == done.cents


def test_the_lists_name_is_the_originals() -> None:
    assert PixSettings(mode="list", list_index=3).source == "source_list_3"
    assert PixSettings(mode="list", list_index=3, use_hashtag=True).source == "{source_list_3}"
