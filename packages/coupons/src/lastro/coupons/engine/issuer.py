"""Attempts of many requests in few script calls, over one connection per server.

While one write is on its way the next one fills. What an event promises beyond the server's own setting, a replica's
or a disk's copy, is waited for on the same connection, after the script and before anybody is told.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redis.exceptions import MovedError, NoScriptError, ResponseError

from lastro.core.errors import Busy, Unreachable
from lastro.core.metrics import Tally
from lastro.core.redis import Hub, Line
from lastro.core.redis.connections import Command
from lastro.core.redis.failures import ours
from lastro.coupons import keys, scripts
from lastro.coupons.errors import NotDurable
from lastro.coupons.metrics import ATTEMPTS_AT_ONCE, ISSUE_SECONDS, NOT_DURABLE

CALL_MAX = 128  # attempts in one call: 0.6 ms of the server's time when all of them win
WRITE_MAX = 512  # attempts in one write
KEPT = {"issued", "again"}
FSYNC_MAX = 1_000  # events remembered as promising a disk's copy; the next attempt tells again
HOW: tuple[Command, ...] = (("CONFIG", "GET", "appendonly"), ("CONFIG", "GET", "appendfsync"))
ALWAYS = [[b"appendonly", b"yes"], [b"appendfsync", b"always"]]


class Told(NamedTuple):
    """What the script said of one attempt."""

    word: str
    about: str
    generation: int


Waiting = tuple[str, Sequence[str | bytes], "asyncio.Future[Told]"]


@dataclass(eq=False)
class Issuer:
    """Sends attempts."""

    hub: Hub
    waiting_max: int
    replica_timeout_ms: int
    _seconds: Tally = field(default_factory=ISSUE_SECONDS.tally)
    _lanes: dict[str, list[Waiting]] = field(default_factory=dict)
    _senders: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    _lines: dict[str, Line] = field(default_factory=dict)
    _fsync: set[str] = field(default_factory=set)

    def submit(self, event_id: str, attempt: Sequence[str | bytes]) -> "asyncio.Future[Told]":
        """A future of what the script says. Raises Busy when too many wait."""
        place = self.hub.place(keys.stock(event_id)) if self.hub.capabilities.cluster else ""
        waiting = self._lanes.setdefault(place, [])
        if len(waiting) >= self.waiting_max:
            raise Busy
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        waiting.append((event_id, attempt, future))
        if place not in self._senders:
            self._senders[place] = asyncio.create_task(self._send_all(place))
        return future

    async def aclose(self) -> None:
        """Send what waits, and close the connections."""
        while self._senders:
            await asyncio.gather(*self._senders.values())
        for line in self._lines.values():
            await self.hub.close_line(line)
        self._lines.clear()

    async def _send_all(self, place: str) -> None:
        chunk: list[Waiting] = []
        try:
            while waiting := self._lanes[place]:
                chunk, self._lanes[place] = waiting[:WRITE_MAX], waiting[WRITE_MAX:]
                ATTEMPTS_AT_ONCE.of().observe(len(chunk))
                started = time.perf_counter()
                try:
                    await self._send(place, chunk)
                    self._seconds(time.perf_counter() - started)
                except Exception as error:  # noqa: BLE001  # it is the callers' to handle: each gets it, and none waits
                    _fail(chunk, error)
        finally:
            for _, _, future in [*chunk, *self._lanes.pop(place)]:
                future.cancel()  # only when this task was cancelled: all others are done
            del self._senders[place]

    async def _send(self, place: str, chunk: list[Waiting]) -> None:
        line = self._lines.get(place)
        if line is None:
            block_seconds = self.hub.timeout_seconds + self.replica_timeout_ms / 1000
            line = self._lines[place] = self.hub.own_line(place, block_seconds=block_seconds)
        calls = _calls(chunk)
        bodies = [_body(event_id, waiting) for event_id, waiting in calls]
        source = scripts.issue.source
        shebang = self.hub.capabilities.shebang
        sha, text = (source.sha, source.text) if shebang else (source.sha_6, source.text_6)
        asking = HOW if any(event_id in self._fsync for event_id, _ in calls) else ()
        replies = await line.send([*(("EVALSHA", sha, *body) for body in bodies), *asking])
        replies, how = replies[: len(calls)], replies[len(calls) :]
        lost = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if lost:
            again = await line.send([("EVAL", text, *bodies[at]) for at in lost])
            for at, reply in zip(lost, again, strict=True):
                replies[at] = reply
        short = await self._wait(line, await self._promised(line, calls, replies, how))
        refused: list[tuple[list[Waiting], ResponseError]] = []  # after the answers: of one call, it is no other's
        for (_, waiting), reply in zip(calls, replies, strict=True):
            if isinstance(reply, ResponseError):
                refused.append((waiting, reply))
            else:
                _settle(waiting, reply, short.get(bytes(reply[0])))
        for waiting, reply in refused:
            await self._refused(place, waiting, reply)

    async def _promised(
        self, line: Line, calls: Sequence[tuple[str, Any]], replies: Sequence[Any], how: Sequence[Any]
    ) -> set[bytes]:
        """The kinds of copy to wait for. What the server does now decides, not what it did when the event was made."""
        kinds: set[bytes] = set()
        for (event_id, _), reply in zip(calls, replies, strict=True):
            if not isinstance(reply, ResponseError) and reply[0] and reply[1]:
                kinds.add(reply[0])
                if reply[0] == b"fsync":
                    self._fsync.add(event_id)
        if b"fsync" in kinds and (how or (line.connected and await line.send(HOW))) == ALWAYS:
            kinds.remove(b"fsync")  # it was on the disk before the reply; a new connection may be another server's
        if len(self._fsync) > FSYNC_MAX:
            self._fsync.clear()
        return kinds

    async def _wait(self, line: Line, kinds: set[bytes]) -> dict[bytes, NotDurable]:
        """The kinds of copy that were promised and do not exist in time."""
        short: dict[bytes, NotDurable] = {}
        for kind in kinds:
            ms = self.replica_timeout_ms
            command: Command = ("WAIT", 1, ms) if kind == b"replica" else ("WAITAOF", 1, 0, ms)
            # on a new connection it would be the copies of another server, which may not have what was written here
            (told,) = await line.send([command]) if line.connected else (0,)
            copies = told if kind == b"replica" else told[0] if isinstance(told, list) else 0
            if isinstance(told, ResponseError) or copies < 1:
                NOT_DURABLE.of().inc()
                short[kind] = NotDurable(reason=f"no {'replica' if kind == b'replica' else 'disk'} in {ms} ms")
        return short

    async def _refused(self, place: str, waiting: Sequence[Waiting], reply: ResponseError) -> None:
        if isinstance(reply, MovedError):
            await self.hub.moved(reply)
            if (line := self._lines.pop(place, None)) is not None:  # the first of a write that says so
                await self.hub.close_line(line)
            _fail(waiting, Unreachable(reason=str(reply)))
            return
        known = ours(reply)
        _fail(waiting, known if isinstance(known, Busy) else scripts.issue.fault(str(reply)))


def _calls(chunk: list[Waiting]) -> list[tuple[str, list[Waiting]]]:
    """By event, each at most CALL_MAX."""
    by_event: dict[str, list[Waiting]] = {}
    for item in chunk:
        by_event.setdefault(item[0], []).append(item)
    return [
        (event_id, waiting[at : at + CALL_MAX])
        for event_id, waiting in by_event.items()
        for at in range(0, len(waiting), CALL_MAX)
    ]


def _body(event_id: str, waiting: Sequence[Waiting]) -> list[Any]:
    attempts = [part for _, attempt, _ in waiting for part in attempt]
    return scripts.issue.body(
        {
            "participants": keys.participants(event_id),
            "stock": keys.stock(event_id),
            "meta": keys.meta(event_id),
            "events": keys.events(event_id),
            "eligible": keys.eligible(event_id),
            "attempts": attempts,
        }
    )


def _settle(waiting: Sequence[Waiting], reply: list[Any], short: NotDurable | None) -> None:
    generation = reply[2]
    for at, (_, _, future) in enumerate(waiting, 2):
        if future.done():
            continue  # its caller has gone; the effect stands, as after any lost answer
        word = reply[2 * at].decode()
        if short is not None and word in KEPT:
            future.set_exception(short)
        else:
            about = reply[2 * at + 1]
            future.set_result(Told(word, about.decode() if isinstance(about, bytes) else str(about), generation))


def _fail(waiting: Sequence[Waiting], error: Exception) -> None:
    for _, _, future in waiting:
        if not future.done():
            future.set_exception(error)
