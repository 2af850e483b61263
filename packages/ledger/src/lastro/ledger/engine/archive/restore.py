"""Segments back into the store for good, and out of the archive.

Round by round: segments are put back, then the store has them for good, and only then their rows go, a few at a time.
All the while a mark in the store says that segments are brought back. Nobody drops one then, nor ever one that was
archived before. A transaction that deletes rows ends only while the mark is the one from before the segments were put
back; whoever archives them again under a later mark writes rows of its own, when that transaction has ended.
"""

import asyncio
from collections.abc import Callable, Sequence
from secrets import token_hex

import sqlalchemy as sa
from redis.exceptions import ResponseError

from lastro.core.clock import now_ms
from lastro.core.database import Database
from lastro.core.errors import Fault, OutcomeUnknown
from lastro.core.keys import Key
from lastro.core.redis import Hub
from lastro.core.redis.failures import ours
from lastro.ledger import keys, scripts

from . import rows

ROUND = 1_000
"""Segments put back between two waits for the disk, 128 MB of them."""
TURN = 16
"""Segments read, or deleted, in one transaction: on SQLite nobody else reads meanwhile."""
LIFE_SECONDS = 600
"""After so long without a new round who archives takes the mark away: its owner deletes nothing then."""
SYNC_SECONDS = 3.0
"""How long a server may take until its file is on the disk."""
EVERYSEC_SECONDS = 2.0
"""What appendfsync everysec may lose; on servers without WAITAOF there is nobody to ask."""
KEEPS_NO_FILE = "appendonly is disabled"
NOT_KNOWN = "unknown command"
OPEN = b"open"


def is_open(mark: bytes) -> bool:
    """Somebody brings segments back."""
    return mark.startswith(OPEN)


def is_left(mark: bytes) -> bool:
    """Whoever brought segments back seems to have died over it."""
    return is_open(mark) and now_ms() - int(mark.split(b" ")[1]) > LIFE_SECONDS * 1000


async def close(hub: Hub, ledger: str) -> None:
    """A mark that nobody has seen yet: who brought segments back, or archived, by another one, begins again."""
    await hub.write.set(keys.restored(ledger), f"closed {token_hex(8)}")


async def restore_all(hub: Hub, database: Database, ledger: str) -> int:
    """All of a ledger's segments; how many. Raises DatabaseAway, OutcomeUnknown, Fault: the rest is in the archive."""
    done, below = 0, None
    try:
        while True:
            mark = f"{OPEN.decode()} {now_ms()} {token_hex(8)}".encode()
            await hub.write.set(keys.restored(ledger), mark)
            numbers = await _put_back(hub, database, ledger, below)
            if not numbers:
                return done
            if hub.copies is None:  # else the scripts have waited for them, and so for the mark before them
                await synced(hub, keys.restored(ledger))
            for at in range(0, len(numbers), TURN):
                await database.run(_taking_out(hub, ledger, numbers[at : at + TURN], mark))
            done, below = done + len(numbers), numbers[-1]
    finally:
        await close(hub, ledger)


async def synced(hub: Hub, key: Key) -> None:
    """What the server of this key has is on its disk, if it keeps a file. Raises OutcomeUnknown, or what it refuses."""
    line = hub.own_line(hub.place(key), block_seconds=SYNC_SECONDS)
    try:
        # a write of this connection, which changes nothing: WAITAOF looks at nothing else
        wrote, told = await line.send([("APPEND", key, b""), ("WAITAOF", 1, 0, int(SYNC_SECONDS * 1000))])
    finally:
        await hub.close_line(line)
    if isinstance(wrote, ResponseError):  # then WAITAOF had nothing to wait for
        raise ours(wrote) or wrote
    if isinstance(told, ResponseError):
        if NOT_KNOWN in str(told):
            await asyncio.sleep(EVERYSEC_SECONDS)
        elif KEEPS_NO_FILE not in str(told):
            raise ours(told) or told
    elif told[0] < 1:
        raise OutcomeUnknown(reason=f"not on the disk in {SYNC_SECONDS} s; with appendfsync no, never")


async def _put_back(hub: Hub, database: Database, ledger: str, below: int | None) -> list[int]:
    """The last segments that have rows, of those before ``below``, downwards: now they are in the store, too."""
    numbers: list[int] = []
    while len(numbers) < ROUND:
        found = await database.run(lambda c, end=below: rows.last(c, ledger, end, TURN))  # type: ignore[misc]
        if not found:
            break
        for number, records in found.items():
            if len(records) != rows.SEGMENT_BYTES:
                raise Fault(reason=f"the archive has not all of segment {number} of ledger {ledger}")
            word = await scripts.restore_segment(
                hub.write, keyspace=[keys.keyspace(ledger)], segment=number, records=records
            )
            if word == "other":
                raise Fault(
                    reason=f"segment {number} of ledger {ledger} is another one in the store than in the archive"
                )
        numbers += found
        below = numbers[-1]
    return numbers


def _taking_out(hub: Hub, ledger: str, numbers: Sequence[int], mark: bytes) -> Callable[[sa.Connection], None]:
    """What deletes the rows of these segments in a transaction, if nobody can have dropped one since they came back."""
    loop = asyncio.get_running_loop()

    def act(connection: sa.Connection) -> None:
        rows.delete(connection, ledger, numbers)
        # behind the deletion: who sees another mark from here on waits with rows of its own until this has ended
        asyncio.run_coroutine_threadsafe(_require(hub, ledger, mark), loop).result()

    return act


async def _require(hub: Hub, ledger: str, mark: bytes) -> None:
    if await hub.write.get(keys.restored(ledger)) != mark:
        raise Fault(reason=f"somebody else brings back segments of ledger {ledger}, too, or this took too long: again")
