"""Effects to count, and a worker process to kill: ``python -m lastro.core.testing.chaos URL STREAM LEASE_SECONDS``.

The process reads messages ``n=<operation>``, and each has its effect and its acknowledgement in one script.
"""

import asyncio
import sys
from collections.abc import Sequence

from lastro.core import logging
from lastro.core.keys import Key, beside
from lastro.core.queue.stream import StreamQueue
from lastro.core.redis import connect_url
from lastro.core.redis.clients import Client
from lastro.core.scripts import script
from lastro.core.settings import Settings
from lastro.core.streams import Message
from lastro.core.worker import Run, stop_on_signals
from lastro.core.worker.consume import Worker

GROUP = "crew"


@script
async def effect(redis: Client, *, total: Key, once: Key, life_ms: int) -> int:  # type: ignore[empty-body]  # a stub
    """See the file."""


@script
async def settle_all(  # type: ignore[empty-body]  # a stub
    redis: Client, *, stream: Key, done: Key, total: Key, group: str, messages: Sequence[bytes]
) -> int:
    """See the file."""


async def work(url: str, stream: str, lease_seconds: float) -> None:
    """Until SIGTERM."""
    async with await connect_url(url) as hub:
        queue = StreamQueue(hub, Key(stream), group=GROUP)
        run = Run(hub=hub, settings=Settings())
        stop_on_signals(run.stopping)

        async def handle(messages: list[Message]) -> None:
            pairs = [part for message in messages for part in (message.id, message.fields[b"n"])]
            await settle_all(
                hub.write,
                stream=queue.stream,
                done=beside(stream, "done"),
                total=beside(stream, "total"),
                group=GROUP,
                messages=pairs,
            )

        sys.stdout.write("ready\n")
        sys.stdout.flush()
        logging.configure("json", "error")
        worker = Worker.batches(queue, handle, size=200, lease_seconds=lease_seconds, acknowledges=True)
        await worker.run(run)


def main(url: str, stream: str, lease_seconds: str) -> None:
    """Run the worker."""
    asyncio.run(work(url, stream, float(lease_seconds)))
