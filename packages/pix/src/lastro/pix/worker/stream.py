"""One worker's loops on the streams: read new entries, take over orphans, sweep deadlines."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias
from uuid import uuid4

import structlog

from lastro.core.errors import Busy, Fault
from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.streams import Group
from lastro.core.worker import Run
from lastro.pix import scripts
from lastro.pix.engine.deadlines import expire
from lastro.pix.engine.intake import Malformed
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.settlement import Entry, bury, take_answers, take_payments
from lastro.pix.metrics import BATCH, RECLAIMED

BLOCK_MS = 250
SWEEP_SECONDS = 0.1
BACKOFF_SECONDS = 0.2
CLAIM_MAX = 100
REASON_MAX = 500

Found: TypeAlias = Sequence[tuple[Key, Sequence[Entry]]]
"""Entries of each stream."""

log = structlog.get_logger()


class Consumer:
    """One consumer of the group, under a name of its own."""

    def __init__(self, pix: Pix, run: Run) -> None:
        self.pix = pix
        self.run = run
        self.name = f"consumer_{socket.gethostname()}_{os.getpid()}_{uuid4().hex[:6]}"
        self.in_hand: dict[object, tuple[float, Found]] = {}
        """Since when, and what."""
        self.blocking: Client = run.hub.blocking(BLOCK_MS / 1000)
        self.sources: tuple[Key, ...] = (pix.keys.answers, pix.keys.payments, pix.keys.normal)
        if pix.settings.mode == "plain":
            self.sources = (pix.keys.payments,)

    async def take(self) -> None:
        """Two batches in hand: while the server settles one, the next is read and checked here."""
        await self._insist(self.ensure_groups)
        reading = asyncio.create_task(self._read_patiently(normal=True))
        settling: asyncio.Task[None] | None = None
        while not self.run.stopping.is_set():
            found = await reading
            reading = asyncio.create_task(self._read_patiently(normal=not self._high_is_full(found)))
            before, settling = settling, asyncio.create_task(self.process_all(found))
            if before is not None:
                await before
        await self.process_all(await reading)
        if settling is not None:
            await settling

    def _high_is_full(self, found: Sequence[tuple[Key, list[Entry]]]) -> bool:
        high, most = self.pix.keys.payments, self.pix.settings.read_count
        return any(source == high and len(entries) >= most for source, entries in found)

    async def ensure_groups(self) -> None:
        """A group begins at the oldest entry: what came before the first worker is not lost."""
        for source in self.sources:
            await scripts.open_group(self.pix.hub.write, source=source, group=self.pix.settings.group, make=1)

    async def _read_patiently(self, *, normal: bool) -> list[tuple[Key, list[Entry]]]:
        found: list[tuple[Key, list[Entry]]] = await self._insist(lambda: self.read(normal=normal))
        return found

    async def read(self, *, normal: bool) -> list[tuple[Key, list[Entry]]]:
        """Answers first, then HIGH; NORM only while HIGH does not fill a batch."""
        wanted = [source for source in self.sources if normal or source != self.pix.keys.normal]
        try:
            found: Any = await self.blocking.xreadgroup(
                self.pix.settings.group,
                self.name,
                dict.fromkeys(wanted, ">"),
                count=self.pix.settings.read_count,
                block=BLOCK_MS,
            )
        except Fault as fault:
            if "NOGROUP" not in str(fault):
                raise
            await self.ensure_groups()  # the server was flushed, or is another one
            return []
        return [(Key(source.decode()), entries) for source, entries in found]

    async def process_all(self, found: Found) -> None:
        """Answers before payments: accepted money ends first."""
        with self._holding(found):
            for source in self.sources:
                for name, entries in found:
                    if name == source:
                        BATCH.of().observe(len(entries))
                        await self.process(source, entries)

    @contextmanager
    def _holding(self, found: Found) -> Iterator[None]:
        name = object()
        self.in_hand[name] = time.monotonic(), found
        try:
            yield
        finally:
            del self.in_hand[name]

    async def process(self, source: Key, entries: Sequence[Entry], deliveries: int = 1) -> None:
        """Make the effect of these entries. One the store refuses is found by trying each alone, and buried."""
        try:
            meanwhile = self._take_answers_meanwhile if source != self.pix.keys.answers else None
            await self._insist(lambda: self._take(source, entries, deliveries), meanwhile)
        except Fault as fault:
            if len(entries) == 1:
                log.error("pix.buried", reason=str(fault), entry=entries[0][0].decode())  # noqa: TRY400 - the reason is the error
                dead = Malformed(entries[0][0], "AB09", str(fault)[:REASON_MAX], entries[0][1])
                await self._insist(lambda: bury(self.pix, source, [dead], deliveries))
                return
            for entry in entries:
                await self.process(source, [entry], deliveries)

    async def _take(self, source: Key, entries: Sequence[Entry], deliveries: int) -> None:
        if source == self.pix.keys.answers:
            await take_answers(self.pix, entries, deliveries)
        else:
            await take_payments(self.pix, source, entries, deliveries)

    async def _take_answers_meanwhile(self) -> None:
        """While payments wait for memory, what frees some goes on: accepted money ends."""
        answers, found = self.pix.keys.answers, []
        if answers in self.sources:
            with suppress(Busy, Fault):  # it is the one who waits that insists, and who reads that makes groups
                found = await self.pix.write.xreadgroup(
                    self.pix.settings.group, self.name, {answers: ">"}, count=self.pix.settings.read_count
                )
        await self.process_all([(answers, entries) for _, entries in found])
        if answers in self.sources:
            with suppress(
                Busy, Fault
            ):  # likewise; the clock that takes over may itself wait, with payments in its hands
                await self._take_over(answers)

    async def hold(self) -> None:
        """On a clock: what the store refuses for long stays with this worker, which is not dead."""
        settings = self.pix.settings
        every = settings.idle_threshold_ms / 4_000
        while not await self.run.pause(every):
            before = time.monotonic() - every
            old = [found for since, found in self.in_hand.values() if since < before]
            for source, entries in [pair for found in old for pair in found]:
                with suppress(Busy):
                    group = Group(hub=self.pix.hub, stream=source, name=settings.group)
                    await group.renew(self.name, [entry for entry, _ in entries])

    async def take_over(self) -> None:
        """On a clock, whatever the traffic: entries whose worker is silent for longer than the threshold."""
        every = min(1.0, self.pix.settings.idle_threshold_ms / 4_000)
        while not await self.run.pause(every):
            try:
                for source in self.sources:
                    await self._take_over(source)
            except Busy as busy:
                log.warning("pix.take_over_waits", reason=str(busy))
            except Fault as fault:
                if "NOGROUP" not in str(fault):
                    raise

    async def _take_over(self, source: Key) -> None:
        """The first time in one batch; an entry that outlived two workers alone, so that it harms no other."""
        threshold = self.pix.settings.idle_threshold_ms
        while orphans := await self._orphans(source, threshold):
            first = [entry["message_id"] for entry in orphans if entry["times_delivered"] == 1]
            if first:
                await self._claim(source, first, 2)
            for entry in orphans:
                if entry["times_delivered"] > 1:
                    await self._claim(source, [entry["message_id"]], entry["times_delivered"] + 1)
            if len(orphans) < CLAIM_MAX:
                break

    async def _orphans(self, source: Key, threshold: int) -> list[dict[str, Any]]:
        group = self.pix.settings.group
        found: Any = await self.pix.read.xpending_range(source, group, "-", "+", CLAIM_MAX, idle=threshold)
        return list(found)

    async def _claim(self, source: Key, ids: list[bytes], deliveries: int) -> None:
        settings = self.pix.settings
        claimed: Any = await self.pix.write.xclaim(
            source, settings.group, self.name, settings.idle_threshold_ms, tuple(ids)
        )
        entries = [(entry, fields) for entry, fields in claimed if fields]
        if not entries:
            return
        RECLAIMED.of().inc(len(entries))
        if deliveries > settings.deliveries_max:
            dead = [Malformed(entry, "AB09", "its workers died", fields) for entry, fields in entries]
            await bury(self.pix, source, dead, deliveries)
        else:
            with self._holding([(source, entries)]):
                await self.process(source, entries, deliveries)

    async def sweep(self) -> None:
        """Reject what is overdue."""
        while not await self.run.pause(SWEEP_SECONDS):
            try:
                await expire(self.pix)
            except Busy as busy:
                log.warning("pix.sweep_waits", reason=str(busy))

    async def _insist(
        self, act: Callable[[], Awaitable[Any]], meanwhile: Callable[[], Awaitable[None]] | None = None
    ) -> Any:
        """Every act here may be repeated: its script knows what it has done. Ends only with an answer, or the stop."""
        while True:
            try:
                return await act()
            except Busy as busy:
                log.warning("pix.waits", reason=str(busy))
                if await self.run.pause(BACKOFF_SECONDS):
                    return []
                if meanwhile is not None:
                    await meanwhile()
