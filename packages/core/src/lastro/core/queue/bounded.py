"""What happens at a queue's bound, once for all adapters."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import uniform
from typing import Any

from lastro.core.errors import Busy
from lastro.core.keys import QUEUES
from lastro.core.redis import Hub

from . import PUBLISHED, REFUSED, REPLAYED, Bound, QueueFull

POLL_SECONDS = 0.05
AGAIN = b"again"  # what a script says behind the id of an operation that it knows


async def note(hub: Hub, name: str, url: str) -> None:
    """Note a queue's name, so that it is listed; not now, while the store has no room, then the next time."""
    with suppress(Busy):
        await hub.write.hset(QUEUES, name, url)


async def within(
    bound: Bound,
    queue: str,
    many: Sequence[Any],
    put: Callable[[Sequence[Any]], Awaitable[list[bytes]]],
) -> list[bytes]:
    """Put these in by ``put``, which accepts as many of the first as fit; the rest wait, are refused or dropped."""
    ids = await put(many)
    deadline = time.monotonic() + bound.block_seconds
    while len(ids) < len(many) and bound.when_full == "block" and time.monotonic() < deadline:
        await asyncio.sleep(uniform(0.2, 1) * POLL_SECONDS)
        ids += await put(many[len(ids) :])
    PUBLISHED.of(queue=queue).inc(len(ids))
    if len(ids) < len(many):
        REFUSED.of(queue=queue).inc(len(many) - len(ids))
        if bound.when_full != "drop":
            raise QueueFull(queue=queue, len_max=bound.len_max, published=len(ids))
    return ids


def once(queue: str, told: list[bytes]) -> list[bytes]:
    """The id that an operation was given, now or before; none when it is full."""
    if told[1:] == [AGAIN]:
        REPLAYED.of(queue=queue).inc()
    return told[:1]
