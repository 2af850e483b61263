"""List mode, on core's list queue and worker: what a consumer took lies in a list of its own until it is counted."""

from lastro.core.queue.lists import ListQueue
from lastro.core.streams import Message
from lastro.core.worker import Run
from lastro.core.worker.consume import Worker
from lastro.pix.engine.fifo import count
from lastro.pix.engine.pix import Pix

TURNS = 4
"""Looks for silent consumers in one idle threshold."""


async def count_list(pix: Pix, run: Run) -> None:
    """Until told to stop; what is in hand then is counted first."""
    idle_seconds = pix.settings.idle_threshold_ms / 1000

    async def handle(messages: list[Message]) -> None:
        await count(pix, [message.fields.get(b"body", b"") for message in messages])

    worker = Worker.batches(
        ListQueue(run.hub, pix.keys.payments),
        handle,
        size=pix.settings.read_count,
        lease_seconds=idle_seconds,
        turn_seconds=min(1.0, idle_seconds / TURNS),
    )
    await worker.run(run)
