"""Dead letters: what could not be processed, with its reason, kept until somebody replays or discards it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from lastro.core.clock import iso
from lastro.core.keys import Key, beside
from lastro.core.metrics import BOUNDED, counter
from lastro.core.redis import Hub

from . import IDS_MAX, scripts

Reason = Literal["invalid", "failed", "timeout", "crashed"]
REASONS = ("invalid", "failed", "timeout", "crashed")
PAGE_MAX = 500
LETTER_ID = re.compile(r"[0-9]{1,15}-[0-9]{1,15}", re.ASCII)
ABOUT = 6  # pairs before the fields as published

DEAD = counter(
    "stream_dead_total",
    "messages given up: of bad content, raising, hanging, or taking the process with them",
    do="lastro queue dead list NAME; then replay or discard",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownLetter:
    """A message that was given up, for people and for JSON; bytes that are no text are escaped."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    id: str
    reason: str
    """``invalid``: of bad content; ``failed``: its handler raised; ``timeout``: hung; ``crashed``: took it along."""
    error: str
    deliveries: int
    first_at: str
    """When it was first seen: ISO 8601 in UTC, to the millisecond."""
    last_at: str
    """When it was given up."""
    fields: dict[str, str]
    """As published."""
    group: str
    """Of a log: which of its groups gave it up; empty in a queue."""


def shown(letter: DeadLetter) -> ShownLetter:
    """For people and for JSON."""
    return ShownLetter(
        id=letter.id.decode(),
        reason=letter.reason,
        error=letter.error,
        deliveries=letter.deliveries,
        first_at=iso(letter.first_ms),
        last_at=iso(letter.last_ms),
        fields={_text(name): _text(value) for name, value in letter.fields.items()},
        group=letter.group,
    )


def line(letter: DeadLetter) -> str:
    """One line for people: id, reason, deliveries, first and last seen, error, fields."""
    told = shown(letter)
    fields = " ".join(f"{name}={value}" for name, value in told.fields.items())
    why = f"{told.reason} after {told.deliveries}{told.group and f' in {told.group}'}"
    return f"{told.id}  {why}, {told.first_at} … {told.last_at}: {told.error} | {fields}"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


async def letters(hub: Hub, queue: Key, *, count: int = PAGE_MAX, after: bytes = b"") -> list[DeadLetter]:
    """The oldest dead letters of a queue, from the one after ``after`` on."""
    dead = beside(queue, "dead")
    start = b"(" + after if after else b"-"
    (reply,) = await hub.line(hub.place(dead)).send([("XRANGE", dead, start, "+", "COUNT", min(count, PAGE_MAX))])
    return [_letter(id_, flat) for id_, flat in await hub.told(reply)]


async def letter(hub: Hub, queue: Key, id_: bytes) -> DeadLetter | None:
    """One of them, or None."""
    if not LETTER_ID.fullmatch(id_.decode(errors="replace")):
        return None
    dead = beside(queue, "dead")
    (reply,) = await hub.line(hub.place(dead)).send([("XRANGE", dead, id_, id_)])
    found = await hub.told(reply)
    return _letter(*found[0]) if found else None


async def discard(hub: Hub, queue: Key, ids: Sequence[bytes]) -> int:
    """Delete these for good; how many were there."""
    discarded = 0
    for at in range(0, len(ids), IDS_MAX):
        discarded += await scripts.discard(hub.write, dead=beside(queue, "dead"), ids=ids[at : at + IDS_MAX])
    return discarded


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
