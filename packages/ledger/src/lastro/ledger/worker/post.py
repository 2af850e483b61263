"""Other domains' streams, posted to the ledger: read, post, acknowledge."""

import asyncio

from lastro.core import tracing
from lastro.core.errors import Invalid
from lastro.core.keys import Key
from lastro.core.queue.stream import StreamQueue
from lastro.core.streams import Message
from lastro.core.worker import Run
from lastro.core.worker.consume import Failures, Worker
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.post import followed
from lastro.ledger.engine.post import post as post_movements
from lastro.ledger.model.postings.movement import Movement, Subject
from lastro.ledger.settings import LedgerSettings

ENTRIES_MAX = 50
"""Entries in one handling; of Pix each is a batch of its own, of up to 500 movements."""


async def post(run: Run) -> None:
    """Post what other domains moved. What is refused is a dead letter of its stream, and a finding of the check."""
    ledger = Ledger(run.hub, LedgerSettings.read())
    async with asyncio.TaskGroup() as group:
        for subject, stream in followed(ledger).items():
            group.create_task(_worker(ledger, stream, subject).run(run))


def _worker(ledger: Ledger, stream: str, subject: Subject) -> Worker:
    async def handle(messages: list[Message]) -> Failures:
        failures: dict[bytes, Exception] = {}
        entries: list[tuple[bytes, list[Movement]]] = []
        for message in messages:
            try:
                entries.append((message.id, list(subject.read(message.fields))))
            except Invalid as wrong:
                failures[message.id] = wrong
        began = tracing.now()
        refused = await post_movements(ledger, [movements for _, movements in entries])
        if began:
            for movement in (movement for _, movements in entries for movement in movements):
                tracing.record("ledger.post", movement.name.rsplit(":", 1)[1], began, movement=movement.name)
        return failures | {entries[place][0]: why for place, why in refused.items()}

    queue = StreamQueue(ledger.hub, Key(stream), group=ledger.settings.post_group, keep=True)
    return Worker.batches(queue, handle, size=ENTRIES_MAX, concurrency=1)
