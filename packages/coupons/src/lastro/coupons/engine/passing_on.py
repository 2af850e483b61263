"""The outboxes, passed on to a broker: each issuance at least once, in the order of each user.

An issuance is ``event_id user_id ordinal seq issuance_id code issued_ms epoch``, a change of the event ``event_id
changed``; both have ``key``, which orders them, and ``stream`` and ``entry``, by which who reads them is idempotent.
"""

import asyncio
from typing import Any

import msgspec

from lastro.core.errors import Busy
from lastro.core.queue import Queue
from lastro.core.worker import Run
from lastro.core.worker.relay import Relay, Shape
from lastro.coupons import keys
from lastro.coupons.model.issuance import Issuance

from . import Coupons

WATCH_SECONDS = 0.5
NAME = "coupons"


async def relay(coupons: Coupons, run: Run, sink: Queue) -> None:
    """Until told to stop: every event that is not settled, and one that is until all of it was passed on."""
    reading: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        while not await run.pause(WATCH_SECONDS if reading else 0.05):
            try:
                live = set(await coupons.live())
                if live:
                    await coupons.hub.write.sadd(keys.RELAYING, *live)
                known: Any = await coupons.hub.read.smembers(keys.RELAYING)
            except Busy:
                continue
            for event_id in {member.decode() for member in known} - {*reading}:
                reading[event_id] = group.create_task(_event(coupons, run, sink, event_id))
            reading = {event_id: task for event_id, task in reading.items() if not task.done()}


async def _event(coupons: Coupons, run: Run, sink: Queue, event_id: str) -> None:
    one = Relay(run=run, stream=keys.events(event_id), sink=sink, shape=shape(event_id), name=NAME)
    over = asyncio.Event()
    task = asyncio.create_task(one.work(over))
    try:
        while not await run.pause(WATCH_SECONDS):
            try:
                settled = event_id not in await coupons.live()
                if settled and (await one.group.measure()).lag == 0:
                    await coupons.hub.write.srem(keys.RELAYING, event_id)
                    return
            except Busy:
                continue
    finally:
        over.set()
        await task


def shape(event_id: str) -> Shape:
    """What is told of an entry of this event."""

    def told(fields: dict[bytes, bytes]) -> dict[bytes, Any]:
        winner, record = fields.get(b"winner"), fields.get(b"record")
        try:
            if winner is None or record is None:
                raise ValueError
            issuance = Issuance.read(event_id, winner.decode(), record.decode())
        except ValueError:  # a change; or poison, which whoever reads it may judge
            return {b"key": event_id, b"event_id": event_id, **fields}
        about: dict[bytes, Any] = {name.encode(): value for name, value in msgspec.structs.asdict(issuance).items()}
        del about[b"key_hash"]  # it serves nobody but who asks again
        return {b"key": f"{event_id}/{issuance.user_id}", **about}

    return told
