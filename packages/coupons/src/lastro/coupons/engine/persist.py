"""From the outboxes into the database: in batches, each issuance once, for as long as it takes.

While the database is away the worker waits, holding what it has and reading no more; nothing becomes a dead letter for
that. What the database refuses for what it is becomes one, alone: the worker halves its batch until it is.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import uniform
from typing import TypeAlias

import sqlalchemy as sa
import structlog

from lastro.core.database import DatabaseAway, DatabaseRefused, migrate
from lastro.core.errors import Busy, Invalid
from lastro.core.keys import Key
from lastro.core.streams import Measure, Message
from lastro.core.worker import Run
from lastro.core.worker.consume import Worker
from lastro.coupons import keys
from lastro.coupons.errors import UnknownEvent
from lastro.coupons.metrics import COLLISIONS, DATABASE_DOWN, PERSIST_SECONDS, PERSISTED
from lastro.coupons.model.event import Event
from lastro.coupons.model.issuance import Issuance

from . import Coupons
from .database import TABLES
from .database.rows import Row, insert, upsert_event
from .outbox import outbox

WATCH_SECONDS = 0.5
BACKOFF_SECONDS = 0.05
BACKOFF_CAP_SECONDS = 1.0
CALL_SECONDS = 86_400.0  # a call waits while the database is away: that is no failure of its messages

Act: TypeAlias = Callable[[sa.Connection], int]

log = structlog.get_logger()


async def migrated(coupons: Coupons, run: Run) -> bool:
    """Bring the tables to what we know, as soon as the database is there; False when it is time to stop before."""
    while not run.stopping.is_set():
        try:
            await asyncio.to_thread(migrate.upgrade, coupons.database, TABLES)
        except (DatabaseAway, DatabaseRefused) as away:  # refused: another process was just making them
            log.warning("coupons.waits_for_database", reason=str(away))
            await run.pause(uniform(0.5, 1) * BACKOFF_CAP_SECONDS)
        else:
            return True
    return False


@dataclass(eq=False)
class Persister:
    """The worker's half: one worker per event that is not settled."""

    coupons: Coupons
    run: Run
    failures: int = 0
    _probing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _events: dict[str, Event] = field(default_factory=dict)
    _measures: dict[Key, Measure] = field(default_factory=dict)

    async def persist(self) -> None:
        """Until told to stop: read the outbox of every event, and those of new ones within WATCH_SECONDS."""
        if not await migrated(self.coupons, self.run):
            return
        reading: dict[str, tuple[Run, asyncio.Task[None]]] = {}
        async with asyncio.TaskGroup() as group:
            while not await self.run.pause(WATCH_SECONDS if reading else 0.05):
                try:
                    live = await self.coupons.live()
                except Busy:
                    continue
                for event_id in live:
                    if event_id not in reading:
                        own = Run(hub=self.run.hub, settings=self.run.settings)
                        reading[event_id] = own, group.create_task(self._read(event_id, own))
                for event_id in set(reading) - set(live):
                    reading.pop(event_id)[0].stopping.set()
                    self._events.pop(event_id, None)
                    self._measures.pop(keys.events(event_id), None)
            for own, _ in reading.values():
                own.stopping.set()

    async def _read(self, event_id: str, own: Run) -> None:
        async def handle(messages: list[Message]) -> dict[bytes, Exception]:
            return await self.take(event_id, messages)

        worker = Worker.batches(
            outbox(self.run.hub, event_id, self._measures),
            handle,
            size=self.coupons.settings.persist_batch,
            timeout_seconds=CALL_SECONDS,
            lease_seconds=self.coupons.settings.lease_seconds,
        )
        await worker.run(own)

    async def take(self, event_id: str, messages: Sequence[Message]) -> dict[bytes, Exception]:
        """Write these; which of them could not even be read."""
        rows: list[Row] = []
        unreadable: dict[bytes, Exception] = {}
        changed = event_id not in self._events
        for message in messages:
            winner, record = message.fields.get(b"winner"), message.fields.get(b"record")
            if winner is None or record is None:
                changed = True
                if b"changed" not in message.fields:
                    unreadable[message.id] = Invalid(field="message", reason="neither an issuance nor a change")
                continue
            try:
                rows.append((Issuance.read(event_id, winner.decode(), record.decode()), message.id.decode()))
            except ValueError as error:
                unreadable[message.id] = Invalid(field="record", reason=str(error))
        try:
            await self._write(event_id, rows, changed=changed)
        except UnknownEvent as error:
            raise Invalid(field="event", reason=str(error)) from error
        return unreadable

    async def _write(self, event_id: str, rows: Sequence[Row], *, changed: bool) -> None:
        event = await self.coupons.event(event_id) if changed else self._events[event_id]
        await self.run.hub.copied(keys.events(event_id))

        def written(connection: sa.Connection) -> int:
            if changed:
                upsert_event(connection, event)
            return insert(connection, event, rows) if rows else 0

        try:
            PERSISTED.of().inc(await self._insist(written))
        except DatabaseRefused as refused:
            if not changed:  # the event's own row may be what is missing: the database was restored, or wiped
                await self._write(event_id, rows, changed=True)
                return
            if len(rows) == 1 and refused.about["collision"]:
                COLLISIONS.of().inc()
                log.critical("coupons.collision", event_id=event_id, seq=rows[0][0].seq, reason=str(refused))
            raise Invalid(field="issuance", reason=str(refused)) from refused
        self._events[event_id] = event

    async def _insist(self, act: Act) -> int:
        """Until the database answers. While it is away one call tries, ever more slowly, and the others wait."""
        while True:
            if self.failures:
                async with self._probing:
                    done = await self._try(act)
            else:
                done = await self._try(act)
            if done is not None:
                return done
            if self.run.stopping.is_set():
                raise DatabaseAway(reason="it was away when we stopped")

    async def _try(self, act: Act) -> int | None:
        started = time.monotonic()
        try:
            done = await self.coupons.database.run(act)
        except DatabaseAway as away:
            self.failures += 1
            DATABASE_DOWN.of().set(1)
            if self.failures == 1:
                log.warning("coupons.waits_for_database", reason=str(away))
            ceiling = min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2 ** min(self.failures, 10))
            await self.run.pause(uniform(0.5, 1) * ceiling)
            return None
        if self.failures:
            log.info("coupons.database_is_back", tries=self.failures)
            self.failures = 0
            DATABASE_DOWN.of().set(0)
        PERSIST_SECONDS.of().observe(time.monotonic() - started)
        return done
