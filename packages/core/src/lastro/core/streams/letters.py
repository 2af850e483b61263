"""Dead letters: what could not be processed, with its reason, kept until somebody replays or drops it."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from redis.exceptions import ResponseError

from lastro.core.keys import Key, beside
from lastro.core.metrics import BOUNDED, counter
from lastro.core.redis import Hub
from lastro.core.redis.failures import ours

from . import IDS_MAX

Reason = Literal["invalid", "failed", "timeout", "crashed"]
REASONS = ("invalid", "failed", "timeout", "crashed")
PAGE_MAX = 500
ABOUT = 6  # pairs before the fields as published

DEAD = counter(
    "stream_dead_total",
    "messages given up: of bad content, raising, hanging, or taking the process with them",
    do="lastro queue dead NAME; then replay or drop",
    queue=BOUNDED,
    reason=REASONS,
)


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was given up."""

    id: bytes
    """Its own; the message's was ``message_id``."""
    reason: str
    error: str
    deliveries: int
    first_ms: int
    last_ms: int
    message_id: bytes
    fields: dict[bytes, bytes]
    """As published."""
    group: str = ""
    """Of a log: which of its groups gave it up. It is replayed for that one alone."""


async def letters(hub: Hub, queue: Key, *, count: int = PAGE_MAX, after: bytes = b"") -> list[DeadLetter]:
    """The oldest dead letters of a queue, from the one after ``after`` on."""
    dead = beside(queue, "dead")
    start = b"(" + after if after else b"-"
    (reply,) = await hub.line(hub.place(dead)).send([("XRANGE", dead, start, "+", "COUNT", min(count, PAGE_MAX))])
    if isinstance(reply, ResponseError):
        raise ours(reply) or reply
    return [_letter(id_, flat) for id_, flat in reply]


async def drop(hub: Hub, queue: Key, ids: Sequence[bytes]) -> int:
    """Delete these for good; how many were there."""
    dropped = 0
    for at in range(0, len(ids), IDS_MAX):
        dropped += int(await hub.write.xdel(beside(queue, "dead"), *ids[at : at + IDS_MAX]))
    return dropped


def _letter(id_: bytes, flat: list[bytes]) -> DeadLetter:
    about, own = flat[1 : 2 * ABOUT : 2], flat[2 * ABOUT :]
    reason, error, deliveries, first_ms, last_ms, message_id = about
    first_ms, _, group = first_ms.partition(b" ")
    return DeadLetter(
        id_,
        reason.decode(),
        error.decode(errors="replace"),
        int(deliveries),
        int(first_ms),
        int(last_ms),
        message_id,
        dict(zip(own[::2], own[1::2], strict=True)),
        group.decode(),
    )
