"""Passes a log on to another queue, a broker's mostly: every entry at least once, in order.

    LASTRO_RELAYS="payments_final=kafka://k1:9092/finals?key=correlation_id" lastro relay

How far it got stays with the stream, as a group of it, so the stream keeps what was not passed on for as long as it
respects its groups; what was trimmed all the same is logged and counted (servers before 7.0 cannot tell). One process
leads, others wait for it to fall silent; two that lead at once, after a pause, repeat some entries and never overtake
one. A message has the entry's fields, and ``stream`` and ``entry``: who reads it is idempotent by these. One without
the broker's ``key`` field gets the stream's name there: it is one order for all.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import uniform
from secrets import token_hex
from typing import Any, TypeAlias, cast

import structlog

from lastro.core.errors import Busy, Invalid, Misconfigured
from lastro.core.keys import Key, beside
from lastro.core.metrics import BOUNDED, counter
from lastro.core.queue import Queue, QueueFull, open_queue
from lastro.core.queue.bounded import note
from lastro.core.streams import AGAIN, Group, scripts

from . import Run
from .metrics import LAG

GROUP = "relay"
BATCH = 500
LEAD_SECONDS = 5.0
WATCH_SECONDS = 0.2
PAUSE_CAP_SECONDS = 2.0
MEASURE_SECONDS = 10.0

Shape: TypeAlias = Callable[[dict[bytes, bytes]], dict[bytes, Any]]
"""What of an entry is passed on."""

RELAYED = counter("relay_passed_on_total", "entries that a broker has", do="none", queue=BOUNDED)
REFUSED = counter(
    "relay_refused_total",
    "entries that a broker refused for what they are, and that were passed over",
    do="the log names them",
    queue=BOUNDED,
)
MISSED = counter(
    "relay_missed_total",
    "entries that were trimmed before they were passed on",
    do="the log says how many: catch up from the books, and keep more of the stream",
    queue=BOUNDED,
)

log = structlog.get_logger()


@dataclass(kw_only=True)
class Relay:
    """One log to one queue. ``run`` it once."""

    run: Run
    stream: Key
    sink: Queue
    shape: Shape = dict
    name: str = ""
    """As metrics call it; the stream's without this."""
    token: str = field(default_factory=lambda: token_hex(8))
    _done: bytes = b""
    _numbers: dict[bytes, int] = field(default_factory=dict)
    """Of the entries of the batch at hand, as the stream counts them."""
    _missed_to: int = 0
    _failures: int = 0

    def __post_init__(self) -> None:
        self.name = self.name or self.stream
        self.group = Group(hub=self.run.hub, stream=self.stream, name=GROUP, keep=True, label=self.name)

    async def work(self, until: asyncio.Event) -> None:
        """Pass on until told to stop."""
        measured = 0.0
        loop, task = asyncio.get_running_loop(), cast("asyncio.Task[None]", asyncio.current_task())
        # asked, not awaited: redis-py can turn the cancellation of a call into an error of its own
        while not until.is_set() and not task.cancelling():
            try:
                passed = await self.step()
                self._failures = 0
                if loop.time() >= measured:
                    LAG.of(queue=f"{self.name}>{self.sink.name}").set((await self.group.measure()).lag)
                    measured = loop.time() + MEASURE_SECONDS
            except Busy as busy:
                await self._wait(busy)
                continue
            if not passed:
                await self.run.pause(uniform(0.5, 1) * (WATCH_SECONDS if passed is not None else LEAD_SECONDS / 2))
        with suppress(Busy):  # then some are passed on twice
            await self._next(lead_ms=1, count=1)

    async def step(self) -> int | None:
        """The next batch; how many, or None while another leads. Raises Busy."""
        entries = await self._next(int(LEAD_SECONDS * 1000), BATCH)
        if not entries:
            return None if entries is None else 0
        many = [self._message(id_, flat) for id_, flat in entries if not _comes_back(flat)]
        try:
            await self.sink.publish_many(many)
            RELAYED.of(queue=self.name).inc(len(many))
        except Invalid:
            await self._one_by_one(many)
        except QueueFull as full:
            self._accepted(many[: cast("int", full.about["published"])])
            raise
        self._done = entries[-1][0]
        return len(entries)

    def _accepted(self, many: list[dict[bytes, Any]]) -> None:
        """The first of a batch: whatever becomes of the rest, it goes on behind these."""
        if many:
            self._done = many[-1][b"entry"]
            self._failures = min(self._failures, 1)  # it moves: what is free soon is filled soon
            RELAYED.of(queue=self.name).inc(len(many))

    async def _next(self, lead_ms: int, count: int) -> list[Any] | None:
        told = await scripts.pass_on(
            self.run.hub.write,
            stream=self.stream,
            leader=beside(self.stream, "relaying"),
            group=GROUP,
            token=self.token,
            lead_ms=lead_ms,
            done=self._done,
            number=self._numbers.get(self._done, -1),
            count_max=count,
        )
        if told is None:
            return None
        passed, before, entries = told
        if passed >= 0:
            self._miss(passed, before)
            self._numbers = {id_: number for number, (id_, _) in enumerate(entries, before + 1)}
        return cast("list[Any]", entries)

    def _miss(self, passed: int, before: int) -> None:
        """What lies between was trimmed before it was passed on: told once, however often the next batch is tried."""
        if (missing := before - max(passed, min(self._missed_to, before))) > 0:
            MISSED.of(queue=self.name).inc(missing)
            log.error("relay.missed", stream=self.stream, sink=self.sink.name, entries=missing)
        self._missed_to = before

    def _message(self, id_: bytes, flat: list[bytes]) -> dict[bytes, Any]:
        flat = flat[2:] if flat[0] == AGAIN else flat
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        stream = self.stream.encode()
        return {b"key": stream, **self.shape(fields), b"stream": stream, b"entry": id_}

    async def _one_by_one(self, many: list[dict[bytes, Any]]) -> None:
        for message in many:
            try:
                await self.sink.publish(message)
                self._accepted([message])
            except Invalid as invalid:
                REFUSED.of(queue=self.name).inc()
                log.error("relay.refused", stream=self.stream, entry=message[b"entry"].decode(), reason=str(invalid))  # noqa: TRY400  # the reason is it
                self._done = message[b"entry"]

    async def _wait(self, busy: Busy) -> None:
        self._failures += 1
        if self._failures == 1:
            log.warning("relay.waits", stream=self.stream, sink=self.sink.name, reason=str(busy))
        await self.run.pause(uniform(0.5, 1) * min(PAUSE_CAP_SECONDS, 0.05 * 2 ** min(self._failures, 10)))


def _comes_back(flat: list[bytes]) -> bool:
    """For another group, whose next try it is: it was passed on when it first came."""
    return flat[0] == AGAIN and flat[1].count(b" ") > 1


def routes(given: str) -> Mapping[str, str]:
    """``stream=url stream=url`` → stream to URL. Raises Misconfigured."""
    pairs = [pair.partition("=") for pair in given.split()]
    for stream, _, url in pairs:
        if not stream or "://" not in url:
            raise Misconfigured(setting="LASTRO_RELAYS", reason=f"stream=url, spaces between, not {stream!r}")
    return {stream: url for stream, _, url in pairs}


async def relay(run: Run) -> None:
    """Pass on what ``LASTRO_RELAYS`` says, until told to stop."""
    relays = [
        Relay(run=run, stream=Key(stream), sink=open_queue(url, run.hub))
        for stream, url in routes(run.settings.relays).items()
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for one in relays:
                url = f"stream://{one.stream}?group={GROUP}&keep=yes"
                group.create_task(one.work(run.stopping), name=one.name)
                log.info("relay.started", stream=one.stream, sink=one.sink.name)
                await note(run.hub, f"{one.stream}>{one.sink.name}", url)
    finally:
        for one in relays:
            await one.sink.aclose()
