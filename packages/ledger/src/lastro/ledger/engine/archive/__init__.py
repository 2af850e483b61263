"""Old transfers in a database: whole segments of the log, dropped here when they are there, and fetched when needed.

What every transfer leaves behind is its id, with its place and status, and the accounts' balances and indexes. A script
that needs the record itself of an archived one says so before it has written anything; then its segment comes back, for
a minute, and the script is called again. So every answer is what it was before, duplicates' included. A segment that
came back only to be read goes as soon as it was: a query may look at many.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Literal, TypeAlias, TypeVar, cast

import structlog

from lastro.core.clock import now_ms
from lastro.core.database import Database
from lastro.core.database.migrate import Tables, opened
from lastro.core.errors import Busy, Fault
from lastro.core.redis import Hub
from lastro.ledger import keys, scripts
from lastro.ledger.errors import TooMuchData
from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.records import Transfer, decode_all
from lastro.ledger.model.stored import LOG_SEGMENT, PENDING, place_and_status, transfers_stored
from lastro.ledger.settings import LedgerSettings

from . import rows
from .restore import close, is_left, is_open, restore_all

TABLES = Tables(__name__, head="0001", versions="ledger_version")
BACK_SECONDS = 60
FETCHED_MAX = 500
"""Segments one call that writes, or one request that reads, may need, 64 MB of them."""
LOOK = 500  # segments looked at in one round trip
TURN = 16  # segments read in one turn
WAITING_MAX = 100_000  # segments known to have something pending; beyond them all are read again

Answer = TypeVar("Answer")
Moved: TypeAlias = Literal["moved", "stays", "young"]
log = structlog.get_logger()


@dataclass(slots=True)
class Archive:
    """Of one ledger."""

    hub: Hub
    settings: LedgerSettings
    name: str
    _restored: bytes = b""
    """The store's mark of who brought segments back last, when this was at the beginning."""
    _next: int = 0
    """All segments before it are in the archive."""
    _at: int = 0
    """Where the next turn goes on."""
    _waiting: dict[int, int] = field(default_factory=dict)
    """Segment → a transfer of it that was pending when it was read: it is not read again before that is settled."""

    async def ask(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Call a script; what it misses is fetched, and it is called again. Raises TooMuchData, DatabaseAway."""
        return await Fetching(self).ask(call)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["Fetching"]:
        """For the calls of one request that only reads: FETCHED_MAX is for all of them."""
        fetching = Fetching(self)
        try:
            yield fetching
        finally:
            await fetching.release()

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
        """Move old and final segments, a bounded number; how many. Safe to repeat, and by several at once.

        Turn by turn it goes round past the segments that must stay: what waits for somebody, or what the archive does
        not take, holds nothing up. While somebody brings segments back it does nothing; then it begins anew.
        """
        database = await self._database()
        asked = [keys.state(self.name), keys.restored(self.name)]
        state, found = cast("list[bytes | None]", await self.hub.read.mget(asked))
        restored = found or b""  # as it was before anything is written: several may be here at once
        if database is None or state is None or await self._kept_off(restored):
            return 0
        full = transfers_stored(state) // LOG_SEGMENT
        if transfers_stored(state) % LOG_SEGMENT == 0:
            full -= 1  # the newest stays: it is the one that everybody reads
        start = max(self._at, self._next)
        here, end = await self._here(start, full)
        await self._forget_settled(here)
        ready = [number for number in here if number not in self._waiting]
        moved, word = set[int](), ""
        for number in ready[:TURN]:
            word = await self._try_to_move(database, number, restored)
            if word == "moved":
                moved.add(number)
            elif word == "young":  # and so are all that follow
                break
        if len(ready) > TURN:
            end = ready[TURN]
        if start == self._next:
            self._next = min([number for number in here if number not in moved], default=end)
        self._at = 0 if word == "young" or end >= full else end
        return len(moved)

    async def unarchive(self) -> int:
        """Bring everything back for good, and empty the archive; how many segments. Workers archive it again, later.

        Rows are deleted when the store has their segments for good. Raises DatabaseAway, OutcomeUnknown (what was not
        sure to last in the store is still in the archive), Fault.
        """
        database = await self._database()
        return 0 if database is None else await restore_all(self.hub, database, self.name)

    async def _kept_off(self, restored: bytes) -> bool:
        """Whether somebody brings segments back; what came back since the last turn is looked at again."""
        if is_left(restored):
            await close(self.hub, self.name)
        if is_open(restored):
            return True
        if restored != self._restored:
            self._restored, self._next, self._at = restored, 0, 0
        return False

    async def _here(self, start: int, full: int) -> tuple[list[int], int]:
        """The first full segments from there on that are in the store for good, and up to where was looked."""
        found: list[int] = []
        end = start
        while end < full and len(found) <= TURN:
            numbers = range(end, min(end + LOOK, full))
            async with self.hub.read.pipeline(transaction=False) as pipe:
                for number in numbers:
                    pipe.pttl(keys.log(self.name, "transfers", number))
                lives: list[Any] = await pipe.execute()
            found += [number for number, life in zip(numbers, lives, strict=True) if life == -1]
            end = numbers.stop
        return found, end

    async def _forget_settled(self, numbers: Sequence[int]) -> None:
        """Of these segments, those whose pending transfer is settled are read again."""
        waiting = [number for number in numbers if number in self._waiting]
        still = await self._pending([self._waiting[number] for number in waiting])
        for number in waiting:
            if self._waiting[number] not in still:
                del self._waiting[number]

    async def _try_to_move(self, database: Database, number: int, restored: bytes) -> Moved:
        try:
            return await self._move(database, number, restored)
        except Fault as fault:  # of this segment: the others go on
            log.critical("ledger.archive_refused", ledger=self.name, segment=number, reason=str(fault))
            return "stays"

    async def _move(self, database: Database, number: int, restored: bytes) -> Moved:
        """One segment, if all of it is old and final: commit, read it back, and drop it if it is the same."""
        records = cast("bytes | None", await self.hub.read.get(keys.log(self.name, "transfers", number)))
        if records is None or len(records) != rows.SEGMENT_BYTES:
            return "stays"
        found = decode_all(Transfer, records)
        if not all(each.timestamp for each in found):  # counted by a primary that has lost them since: places to be
            return "stays"
        if found[-1].timestamp // 1_000_000 > now_ms() - self.settings.archive_after_seconds * 1000:
            return "young"
        if pending := await self._pending([each.id for each in found if each.flags & TransferFlag.PENDING]):
            if len(self._waiting) == WAITING_MAX:
                self._waiting.clear()
            self._waiting[number] = pending.pop()
            return "stays"
        await self.hub.copied(keys.state(self.name))
        await database.run(lambda c: rows.write(c, self.name, number, found))
        kept = await database.run(lambda c: rows.read(c, self.name, number))
        word = await scripts.drop_segment(
            self.hub.write,
            keyspace=[keys.keyspace(self.name)],
            segment=number,
            sha1=sha1(kept).hexdigest(),  # noqa: S324  # not a secret: equality
            restored=restored,
        )
        if word == "other":
            log.critical("ledger.archive_differs", ledger=self.name, segment=number)
        return "moved" if word == "ok" else "stays"

    async def _pending(self, ids: Sequence[int]) -> set[int]:
        """Those of these transfers that are not final yet."""
        values: list[Any] = await self.hub.read.mget([keys.transfer(self.name, id_) for id_ in ids]) if ids else []
        return {id_ for id_, value in zip(ids, values, strict=True) if place_and_status(value)[1] in {-1, PENDING}}

    async def bring_back(self, number: int) -> bool:
        """A segment, for a while; whether it was not there. Raises DatabaseAway, Fault."""
        records = await self.segment(number)
        at = keys.log(self.name, "transfers", number)
        return bool(await self.hub.write.set(at, records, ex=BACK_SECONDS, nx=True))

    async def release(self, number: int) -> None:
        """Let go of a segment that came back."""
        await scripts.release_segment(self.hub.write, keyspace=[keys.keyspace(self.name)], segment=number)

    async def _database(self) -> Database | None:
        if self.settings.archive_url is None:
            return None
        url, seconds = self.settings.archive_url.get_secret_value(), self.settings.archive_timeout_seconds
        return await opened(url, seconds, "LASTRO_LEDGER_ARCHIVE_URL", TABLES)


@dataclass(slots=True)
class Fetching:
    """What came back from the archive for somebody's calls, and how much more may."""

    archive: Archive
    _fetched: int = 0
    _own: list[int] = field(default_factory=list)
    """Segments that nobody else had brought back: who writes may count on his for their minute."""

    async def ask(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Call a script; what it misses is fetched, and it is called again. Raises TooMuchData, DatabaseAway."""
        while True:
            try:
                return await call()
            except Fault as fault:
                missed = re.search(r"ARCHIVED (\d+)", str(fault.about.get("reason", "")))
                if missed is None:
                    raise
            if self._fetched == FETCHED_MAX:
                most = FETCHED_MAX * LOG_SEGMENT
                raise TooMuchData(field="filter", reason=f"more than {most} archived transfers: narrow it")
            self._fetched += 1
            if await self.archive.bring_back(int(missed[1])):
                self._own.append(int(missed[1]))

    async def release(self) -> None:
        """Let go of what came back so far; what the store does not hear of goes by itself after BACK_SECONDS."""
        with suppress(Busy):
            while self._own:
                await self.archive.release(self._own.pop())
