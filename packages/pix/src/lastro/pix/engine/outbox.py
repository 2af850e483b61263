"""Answers for one backend, read like the SPI's interface: start, next, acknowledge; at least once, with stable ids."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self, TypeAlias

from lastro.core.errors import Fault
from lastro.core.keys import Key
from lastro.pix import scripts
from lastro.pix.errors import NoSuchReader, TooManyReaders

from .intake import after_entry
from .pix import Pix

GROUP = "spi_readers"
READER_LIFE_MS = 60_000  # a reader silent for so long is forgotten, and what it had goes to another

LOOK_SECONDS = 0.05
Entry: TypeAlias = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Message:
    """One answer. Its id never changes: a message that comes twice is known by it."""

    id: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """What a reader is given at once, and the name by which it says that it got exactly that."""

    messages: list[Message]
    name: str
    """empty when there is nothing to acknowledge"""

    @classmethod
    def of(cls, entries: list[Entry]) -> Self:
        """The page of these entries; one that was deleted meanwhile is acknowledged with it."""
        ids = b" ".join(entry for entry, _ in entries)
        name = blake2b(ids, digest_size=16).hexdigest() if entries else ""
        return cls([_message(entry, fields) for entry, fields in entries if fields], name)


async def start(pix: Pix, backend_id: str, reader: str) -> None:
    """Begin to read, or go on. Raises TooManyReaders."""
    word = await scripts.start_reading(
        pix.hub.write,
        readers=pix.keys.readers(backend_id),
        reader=reader,
        readers_max=pix.settings.readers_max,
        life_ms=READER_LIFE_MS,
    )
    if word == "full":
        raise TooManyReaders(
            backend_id=backend_id, readers_max=pix.settings.readers_max, retry_after_seconds=READER_LIFE_MS // 1000
        )


async def pull(pix: Pix, backend_id: str, reader: str, *, got: str = "", wait_seconds: float) -> Page:
    """The next page; waits for its first message, at most so long.

    ``got`` names the page that reached this reader, and acknowledges it. Who does not name the page it was given gets
    it again. Raises NoSuchReader for one that did not start, or was silent for too long.
    """
    if await pix.read.zscore(pix.keys.readers(backend_id), reader) is None:
        raise NoSuchReader(reader=reader)
    await start(pix, backend_id, reader)
    outbox = pix.keys.outbox(backend_id)
    if await ensure_group(pix, backend_id):
        held = await _unacknowledged(pix, outbox, reader, got) or await _claim(pix, outbox, reader)
        if held:
            return Page.of(held)

    async def look() -> Any:
        try:
            return await pix.write.xreadgroup(GROUP, reader, {outbox: ">"}, count=pix.settings.pull_max)
        except Fault as fault:
            if "NOGROUP" not in str(fault):
                raise
            await ensure_group(pix, backend_id)  # its first answer may have come
            return []

    return Page.of(await _wait_for(look, wait_seconds))


async def stop(pix: Pix, backend_id: str, reader: str, *, got: str = "") -> None:
    """Acknowledge the page named, and leave: the place is free for another reader, who gets what was not named."""
    if await ensure_group(pix, backend_id):
        await _unacknowledged(pix, pix.keys.outbox(backend_id), reader, got)
    await pix.write.zrem(pix.keys.readers(backend_id), reader)


async def _unacknowledged(pix: Pix, outbox: Key, reader: str, got: str) -> list[Entry]:
    """What this reader was given and has not acknowledged, once it said which page it got."""
    held = await _held(pix, outbox, reader)
    if held and Page.of(held).name == got:
        await pix.write.xack(outbox, GROUP, *[entry for entry, _ in held])
        held = await _held(pix, outbox, reader)  # of two pulls at once both were given something
    return held


async def _held(pix: Pix, outbox: Key, reader: str) -> list[Entry]:
    """The oldest of what this reader was given; to look makes it its own for another while."""
    found: Any = await pix.write.xreadgroup(GROUP, reader, {outbox: "0"}, count=pix.settings.pull_max)
    return [entry for _, entries in found for entry in entries]


async def ensure_group(pix: Pix, backend_id: str) -> bool:
    """Readers begin at the oldest answer there is. False while there is none: who only asks leaves nothing behind."""
    word = await scripts.open_group(pix.hub.write, source=pix.keys.outbox(backend_id), group=GROUP, make=0)
    return word == "open"


async def _claim(pix: Pix, outbox: Key, reader: str) -> list[Entry]:
    claimed: Any = await pix.write.xautoclaim(
        outbox, GROUP, reader, min_idle_time=READER_LIFE_MS, count=pix.settings.pull_max
    )
    return [(entry, fields) for entry, fields in claimed[1] if fields]


async def read(pix: Pix, backend_id: str, after: str, *, wait_seconds: float) -> list[Message]:
    """Messages after an id, without a group: for server-sent events, whose reader remembers where it was."""

    async def look() -> Any:
        return await pix.read.xread({pix.keys.outbox(backend_id): after}, count=pix.settings.pull_max)

    return [_message(*entry) for entry in await _wait_for(look, wait_seconds)]


async def _wait_for(look: Callable[[], Awaitable[Any]], wait_seconds: float) -> list[Entry]:
    """Look until there is something: a blocked connection for every waiting reader would cost more than looking."""
    deadline = time.monotonic() + wait_seconds
    while not (found := await look()) and time.monotonic() < deadline:  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(LOOK_SECONDS)
    return [entry for _, entries in found for entry in entries]


async def page(pix: Pix, backend_id: str, after: str, count: int) -> list[Message]:
    """A page of an outbox, oldest first."""
    found: Any = await pix.read.xrange(pix.keys.outbox(backend_id), min=after_entry(after), count=count)
    return [_message(*entry) for entry in found]


def _message(entry: bytes, fields: dict[bytes, bytes]) -> Message:
    return Message(entry.decode(), {name.decode(): value.decode() for name, value in fields.items()})


async def last_id(pix: Pix, backend_id: str) -> str:
    """The newest message's id: from here on is what is new."""
    found: Any = await pix.read.xrevrange(pix.keys.outbox(backend_id), count=1)
    return found[0][0].decode() if found else "0"
