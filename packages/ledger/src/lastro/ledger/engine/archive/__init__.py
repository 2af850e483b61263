"""Old transfers in a database: whole segments of the log, dropped here when they are there, and fetched when needed.

What every transfer leaves behind is its id, with its place and status, and the accounts' balances and indexes. A script
that needs the record itself of an archived one says so before it has written anything; then its segment comes back, for
a minute, and the script is called again. So every answer is what it was before, duplicates' included.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, TypeVar, cast

import structlog

from lastro.core.clock import now_ms
from lastro.core.database import Database
from lastro.core.database.migrate import Tables, opened
from lastro.core.errors import Fault
from lastro.core.redis import Hub
from lastro.ledger import keys, scripts
from lastro.ledger.errors import TooMuchData
from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.records import Transfer, decode_all
from lastro.ledger.model.stored import LOG_SEGMENT, PENDING, place_and_status, transfers_stored
from lastro.ledger.settings import LedgerSettings

from . import rows
from .restore import restoring

TABLES = Tables(__name__, head="0001", versions="ledger_version")
BACK_SECONDS = 60
FETCHED_MAX = 500
"""Segments one call may need, 64 MB of them."""
LOOK = 500  # segments looked at in one round trip
TURN = 16  # segments moved in one turn, or one transaction

Answer = TypeVar("Answer")
log = structlog.get_logger()


@dataclass(slots=True)
class Archive:
    """Of one ledger."""

    hub: Hub
    settings: LedgerSettings
    name: str
    _next: int = 0
    """All segments before it are in the archive."""

    async def ask(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Call a script; what it misses is fetched, and it is called again. Raises TooMuchData, DatabaseAway."""
        for _ in range(FETCHED_MAX):
            try:
                return await call()
            except Fault as fault:
                missed = re.search(r"ARCHIVED (\d+)", str(fault.about.get("reason", "")))
                if missed is None:
                    raise
                await self._bring_back(int(missed[1]))
        raise TooMuchData(field="filter", reason=f"more than {FETCHED_MAX * LOG_SEGMENT} archived transfers: narrow it")

    async def segment(self, number: int) -> bytes:
        """The records of a segment that was not in the store. Raises Fault when it is nowhere."""
        database = await self._database()
        found = b"" if database is None else await database.run(lambda c: rows.read(c, self.name, number))
        if len(found) != rows.SEGMENT_BYTES:  # or it came back meanwhile
            found = cast("bytes | None", await self.hub.read.get(keys.log(self.name, "transfers", number))) or b""
        if len(found) != rows.SEGMENT_BYTES:
            raise Fault(reason=f"segment {number} of ledger {self.name} is neither in the store nor in the archive")
        return found

    async def archive(self) -> int:
        """Move old and final segments, a bounded number; how many. Safe to repeat, and by several at once."""
        database = await self._database()
        state: Any = await self.hub.read.get(keys.state(self.name))
        if database is None or state is None:
            return 0
        full, moved = transfers_stored(state) // LOG_SEGMENT, 0
        if transfers_stored(state) % LOG_SEGMENT == 0:
            full -= 1  # the newest stays: it is the one that everybody reads
        here, first_left = await self._here(full), full
        for number in here:
            if moved == TURN:
                first_left = min(first_left, number)
                break
            if await self._move(database, number):
                moved += 1
            else:
                first_left = min(first_left, number)
        self._next = max(self._next, min(first_left, here[-1] + 1 if here else full))
        return moved

    async def unarchive(self) -> int:
        """Bring everything back for good, and empty the archive; how many segments. Workers would archive it again.

        A transaction deletes rows, and ends when the store has their segments: then those who archive, too, know.
        Raises DatabaseAway, OutcomeUnknown (what was not sure to last in the store is still in the archive), Fault.
        """
        database, done, first = await self._database(), 0, None
        while database is not None:
            last = await database.run(lambda c, below=first: rows.newest(c, self.name, below))  # type: ignore[misc]
            if last is None:
                break
            first = max(0, last + 1 - TURN)
            done += await database.run(restoring(self.hub, self.name, first, last))
        return done

    async def _here(self, full: int) -> list[int]:
        """The first full segments that are in the store for good."""
        found: list[int] = []
        for start in range(self._next, full, LOOK):
            numbers = range(start, min(start + LOOK, full))
            async with self.hub.read.pipeline(transaction=False) as pipe:
                for number in numbers:
                    pipe.pttl(keys.log(self.name, "transfers", number))
                lives: list[Any] = await pipe.execute()
            found += [number for number, life in zip(numbers, lives, strict=True) if life == -1]
            if len(found) > TURN:
                break
        return found

    async def _move(self, database: Database, number: int) -> bool:
        """One segment, if all of it is old and final: commit, read it back, and drop it if it is the same."""
        asked = [keys.log(self.name, "transfers", number), keys.restored(self.name)]
        records, restored = cast("list[bytes | None]", await self.hub.read.mget(asked))
        if records is None or len(records) != rows.SEGMENT_BYTES:
            return False
        found = decode_all(Transfer, records)
        if found[-1].timestamp // 1_000_000 > now_ms() - self.settings.archive_after_seconds * 1000:
            return False
        if await self._pending(found):
            return False
        await self.hub.copied(keys.state(self.name))
        await database.run(lambda c: rows.write(c, self.name, number, found))
        kept = await database.run(lambda c: rows.read(c, self.name, number))
        word = await scripts.drop_segment(
            self.hub.write,
            keyspace=[keys.keyspace(self.name)],
            segment=number,
            sha1=sha1(kept).hexdigest(),  # noqa: S324  # not a secret: equality
            restored=int(restored or 0),
        )
        if word == "other":
            log.critical("ledger.archive_differs", ledger=self.name, segment=number)
        return word == "ok"

    async def _pending(self, found: list[Transfer]) -> bool:
        ids = [each.id for each in found if each.flags & TransferFlag.PENDING]
        values: list[Any] = await self.hub.read.mget([keys.transfer(self.name, id_) for id_ in ids]) if ids else []
        return any(place_and_status(value)[1] in {-1, PENDING} for value in values)

    async def _bring_back(self, number: int) -> None:
        records = await self.segment(number)
        at = keys.log(self.name, "transfers", number)
        await self.hub.write.set(at, records, ex=BACK_SECONDS, nx=True)

    async def _database(self) -> Database | None:
        if self.settings.archive_url is None:
            return None
        url, seconds = self.settings.archive_url.get_secret_value(), self.settings.archive_timeout_seconds
        return await opened(url, seconds, "LASTRO_LEDGER_ARCHIVE_URL", TABLES)
