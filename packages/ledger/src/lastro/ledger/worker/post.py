"""Other domains' streams, posted to the ledger: read, post, acknowledge."""

from collections.abc import Callable, Iterable, Mapping

from lastro.core.errors import Invalid
from lastro.core.keys import Key
from lastro.core.queue.stream import StreamQueue
from lastro.core.streams import Message
from lastro.core.worker import Run
from lastro.core.worker.consume import Failures, Worker
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.post import post as post_movements
from lastro.ledger.model.postings import Movement, pix_movements
from lastro.ledger.settings import LedgerSettings

ENTRIES_MAX = 16
"""Entries in one handling; each is a batch of the domain's own."""
Reading = Callable[[Mapping[bytes, bytes]], Iterable[Movement]]


async def post(run: Run) -> None:
    """Post what Pix moved. What the ledger refuses is a dead letter of the stream, and a finding of the check."""
    ledger = Ledger(run.hub, LedgerSettings.read())
    if ledger.settings.pix_movements:
        await _worker(ledger, ledger.settings.pix_movements, pix_movements).run(run)


def _worker(ledger: Ledger, stream: str, read: Reading) -> Worker:
    async def handle(messages: list[Message]) -> Failures:
        failures: dict[bytes, Exception] = {}
        entries: list[tuple[bytes, list[Movement]]] = []
        for message in messages:
            try:
                entries.append((message.id, list(read(message.fields))))
            except Invalid as wrong:
                failures[message.id] = wrong
        refused = await post_movements(ledger, [movements for _, movements in entries])
        return failures | {entries[place][0]: why for place, why in refused.items()}

    queue = StreamQueue(ledger.hub, Key(stream), group=ledger.settings.post_group, keep=True)
    return Worker.batches(queue, handle, size=ENTRIES_MAX, concurrency=1)
