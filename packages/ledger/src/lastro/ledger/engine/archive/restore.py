"""Segments back into the store for good, within the transaction that takes them out of the archive.

Who archives one meanwhile has looked how many segments were put back, before it wrote its rows or found them there. If
it looked before the script here, which counts on, it may not drop the segment. If later, its writing waits until this
transaction ends, and makes rows of its own.
"""

import asyncio
from collections.abc import Callable, Mapping

import sqlalchemy as sa
from redis.exceptions import ResponseError

from lastro.core.errors import Fault, OutcomeUnknown
from lastro.core.keys import Key
from lastro.core.redis import Hub
from lastro.core.redis.failures import ours
from lastro.ledger import keys, scripts

from . import rows

SYNC_SECONDS = 3.0
"""How long a server may take until its file is on the disk."""
EVERYSEC_SECONDS = 2.0
"""What appendfsync everysec may lose; on servers without WAITAOF there is nobody to ask."""
KEEPS_NO_FILE = "appendonly is disabled"
NOT_KNOWN = "unknown command"


def restoring(hub: Hub, ledger: str, first: int, last: int) -> Callable[[sa.Connection], int]:
    """What brings these segments back in a transaction; it answers how many there were."""
    loop = asyncio.get_running_loop()

    def act(connection: sa.Connection) -> int:
        taken = rows.take(connection, ledger, first, last)
        asyncio.run_coroutine_threadsafe(_restore(hub, ledger, taken), loop).result()
        return len(taken)

    return act


async def _restore(hub: Hub, ledger: str, taken: Mapping[int, bytes]) -> None:
    """All of them are in the store when this returns, and stay, as far as its settings go."""
    for number, records in taken.items():
        if len(records) != rows.SEGMENT_BYTES:
            raise Fault(reason=f"the archive has not all of segment {number} of ledger {ledger}")
        word = await scripts.restore_segment(
            hub.write, keyspace=[keys.keyspace(ledger)], segment=number, records=records
        )
        if word == "other":
            raise Fault(reason=f"segment {number} of ledger {ledger} is another one in the store than in the archive")
    if hub.copies is None:  # else the scripts have waited for them
        await _synced(hub, keys.restored(ledger))


async def _synced(hub: Hub, key: Key) -> None:
    """What the server of this key has is on its disk, if it keeps a file. Raises OutcomeUnknown."""
    line = hub.own_line(hub.place(key), block_seconds=SYNC_SECONDS)
    try:
        # a write of this connection, with the value it has: WAITAOF looks at nothing else
        _, told = await line.send([("INCRBY", key, 0), ("WAITAOF", 1, 0, int(SYNC_SECONDS * 1000))])
    finally:
        await hub.close_line(line)
    if isinstance(told, ResponseError):
        if NOT_KNOWN in str(told):
            await asyncio.sleep(EVERYSEC_SECONDS)
        elif KEEPS_NO_FILE not in str(told):
            raise ours(told) or told
    elif told[0] < 1:
        raise OutcomeUnknown(reason=f"not on the disk in {SYNC_SECONDS} s; with appendfsync no, never")
