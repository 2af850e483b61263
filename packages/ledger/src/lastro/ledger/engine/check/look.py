"""One look at a ledger: what its parts share. The log of transfers is replayed here, and compared with its keys."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from lastro.core.errors import Fault
from lastro.ledger import keys
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.replay import PENDING, POST, RECORD_BYTES, SETTLES, VOID, Id, Replay, decimal
from lastro.ledger.model.stored import (
    EXPIRED,
    LOG_SEGMENT,
    POSTED,
    STATUSES,
    VOIDED,
    StoredState,
    place_and_status,
)

PAGE = 500
SEGMENTS = 16
FINDINGS_MAX = 100
KEYS = 1_000

_BARE = Struct("<16s48x16s38xH8x")
"""Of a record: its id, what it settles, its flags."""
MARKS = {POST: POSTED, VOID: VOIDED}


class Unsound(Exception):  # no error: a finding
    """What is wrong, in a sentence; nothing behind it can be compared with anything."""


@dataclass(slots=True)
class Look:
    """A ledger, the replay so far, and what was found."""

    ledger: Ledger
    told: Callable[[int, int], None]
    replay: Replay = field(default_factory=Replay)
    findings: list[str] = field(default_factory=list)
    marks: "array[int]" = field(default_factory=lambda: array("q"))
    """Of each segment of the log, the hashes of its ids with their places, in one: its keys must come to the same."""

    @property
    def client(self) -> Any:
        """To read with."""
        return self.ledger.hub.read

    @property
    def name(self) -> str:
        """Of the ledger."""
        return self.ledger.name or self.ledger.settings.name

    def find(self, sentence: str) -> None:
        """One more, if there are not too many."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(sentence)

    async def state(self) -> StoredState | None:
        """The counters; none of an empty ledger. Raises Unsound."""
        (value,) = await self.client.mget([keys.state(self.name)])
        logs = [keys.log(self.name, kind, 0) for kind in ("accounts", "transfers")]
        if value is None and await self.client.exists(*logs):
            (value,) = await self.client.mget([keys.state(self.name)])  # or it was begun in between
            if value is None:
                raise Unsound("the state is lost, and the logs are there")
        return None if value is None else self.state_of(value)

    def state_of(self, value: bytes | None) -> StoredState:
        """The counters, decoded. Raises Unsound."""
        if value is None:
            raise Unsound("the state is lost, and the logs are there")
        try:
            return StoredState.decode(value)
        except ValueError as error:
            raise Unsound("the state is not what a script writes") from error

    def key(self, account: Id) -> bytes:
        """Of an account."""
        return keys.account(self.name, int.from_bytes(account, "little"))

    async def values(self, accounts: Sequence[Id]) -> list[bytes | None]:
        """What the keys of these accounts hold."""
        found: list[bytes | None] = []
        for start in range(0, len(accounts), PAGE):
            found += await self.client.mget([self.key(each) for each in accounts[start : start + PAGE]])
        return found

    async def said(self, transfers: Sequence[Id]) -> list[bytes | None]:
        """What the keys of these transfers hold."""
        found: list[bytes | None] = []
        for start in range(0, len(transfers), KEYS):
            page = transfers[start : start + KEYS]
            found += await self.client.mget(keys.transfers(self.name, page))
        return found

    async def advance(self, place: int) -> None:
        """Replay the log up to a place. Raises Unsound with what is wrong with the first transfer that cannot be."""
        while self.replay.place < place:
            wanted: list[tuple[int, int, int]] = []
            async with self.client.pipeline(transaction=False) as pipe:
                at = self.replay.place
                for _ in range(SEGMENTS):
                    segment, first = divmod(at, LOG_SEGMENT)
                    last = min(LOG_SEGMENT, first + place - at)
                    if last <= first:
                        break
                    log = keys.log(self.name, "transfers", segment)
                    pipe.getrange(log, first * RECORD_BYTES, last * RECORD_BYTES - 1)
                    wanted.append((segment, first * RECORD_BYTES, last * RECORD_BYTES))
                    at += last - first
                pages = await pipe.execute()
            for (segment, start, end), page in zip(wanted, pages, strict=True):
                records = page or (await self.archived(segment))[start:end]
                first = self.replay.place
                if len(records) != end - start:
                    raise Unsound(f"the log has {first + len(records) // RECORD_BYTES} transfers, {place} are counted")
                if wrong := self.replay.take(records):
                    raise Unsound(wrong)
                await self._keys(first, records)
            self.told(self.replay.place, place)

    async def archived(self, segment: int) -> bytes:
        """The records of a segment that was not in the store. Raises Unsound."""
        try:
            return await self.ledger.archive.segment(segment)
        except Fault as fault:
            raise Unsound(str(fault)) from fault

    async def _keys(self, first: int, records: bytes) -> None:
        """Whether the key of each transfer has its place, and that of each which it settles says so."""
        rows = list(_BARE.iter_unpack(records))
        settling = [(pending, MARKS[flags & SETTLES]) for _, pending, flags in rows if flags & SETTLES]
        said = await self.said([number for number, _, _ in rows] + [pending for pending, _ in settling])
        whole = 0
        for place, ((number, _, flags), value) in enumerate(zip(rows, said, strict=False), first):
            whole ^= hash((number, place))
            known = place_and_status(value)[0] == place if flags & PENDING else value == b"%d" % (place * STATUSES)
            if not known:
                self.find(f"transfer {decimal(number)}: its key does not say that it is at place {place} of the log")
        if first % LOG_SEGMENT == 0:
            self.marks.append(0)
        self.marks[-1] ^= whole
        for (pending, status), value in zip(settling, said[len(rows) :], strict=True):
            if place_and_status(value)[1] != status:
                self.find(f"transfer {decimal(pending)} is settled, and its key does not say so")

    async def expire(self) -> None:
        """Release what was released by time; no transfer tells of that."""
        waiting = [each for each, held in self.replay.pending.items() if held.due]
        self.release(waiting, await self.said(waiting))

    def release(self, waiting: Sequence[Id], said: Sequence[bytes | None]) -> None:
        """Those of these reservations whose keys say that they expired."""
        for each, value in zip(waiting, said, strict=True):
            if place_and_status(value)[1] == EXPIRED and each in self.replay.pending:
                self.replay.release(self.replay.pending.pop(each))
