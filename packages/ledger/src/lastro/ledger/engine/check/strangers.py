"""What is in the store and not in the logs: keys of transfers and accounts, and records that are not counted.

The transfers' keys are not kept in memory, nor compared one by one: for each segment of the log their hashes together
must be those of its records. Only where they are not, each is compared with the record at its place.
"""

from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from redis.exceptions import ResponseError

from lastro.core.redis.failures import ours
from lastro.ledger import keys
from lastro.ledger.engine.replay import RECORD_BYTES, Id, decimal
from lastro.ledger.model.stored import ACCOUNT_BYTES, LOG_SEGMENT, StoredState, place_and_status

from .accounts import Accounts
from .look import FINDINGS_MAX, KEYS, Look

ID_BYTES, DIGITS_MAX = 16, 15
"""Of an id in a key: its bytes, or fewer digits (see keys.py)."""
ARCHIVED_MAX = 16
"""Segments out of the archive, kept for the next pages."""


@dataclass(slots=True)
class Strangers:
    """What nobody knows."""

    look: Look
    accounts: Accounts
    _count: int = 0
    """Of transfers, when last asked."""
    _segments: dict[int, bytes] = field(default_factory=dict)

    async def find(self) -> None:
        """All of it; what comes while this looks is none."""
        replayed, marks = self.look.replay.place, array("q", bytes(8 * len(self.look.marks)))
        async for page in self._transfers():
            for each, place in page:
                if place < replayed:
                    marks[place // LOG_SEGMENT] ^= hash((each, place))
                elif await self._is_beyond(place):
                    said = f"its key says that it is at place {place} of the log, which has {self._count}"
                    self.look.find(f"transfer {decimal(each)}: {said}")
        suspected = {at for at, both in enumerate(zip(marks, self.look.marks, strict=True)) if both[0] != both[1]}
        if suspected:
            async for page in self._transfers():
                for each, place in page:
                    if place < replayed and place // LOG_SEGMENT in suspected:
                        await self._compare(each, place)
        await self._accounts()
        for kind in ("accounts", "transfers"):
            await self._uncounted(kind)

    async def _transfers(self) -> AsyncIterator[list[tuple[Id, int]]]:
        """What the keys of transfers say: ids and places, some at a time."""
        async for page in self._pages("transfer:"):
            said = await self.look.said(page)
            places = [place_and_status(value)[0] for value in said]
            yield [(each, place) for each, place in zip(page, places, strict=True) if place >= 0]

    async def _is_beyond(self, place: int) -> bool:
        """Whether no transfer is at that place, not even a new one."""
        if place >= self._count:
            self._count = _count(await self.look.state(), "transfers")
        return place >= self._count

    async def _compare(self, transfer: Id, place: int) -> None:
        if (other := await self._id_at(place)) != transfer:
            said = f"its key says that it is at place {place} of the log, where transfer {decimal(other)} is"
            self.look.find(f"transfer {decimal(transfer)}: {said}")

    async def _pages(self, kind: str) -> AsyncIterator[list[Id]]:
        """The ids of all keys of a kind, some at a time. What a server that goes away passes over is not told."""
        space, hub = keys.keyspace(self.look.name), self.look.ledger.hub
        start = (space + kind).encode()
        line = hub.own_line(hub.place(space), block_seconds=hub.timeout_seconds)
        cursor = b"0"
        try:
            while True:
                (reply,) = await line.send([("SCAN", cursor, "MATCH", start + b"*", "COUNT", KEYS)])
                if isinstance(reply, ResponseError):
                    raise ours(reply) or reply
                cursor, found = reply
                if page := [each for key in found if (each := _id(key[len(start) :]))]:
                    yield page
                if cursor == b"0":
                    return
        finally:
            await hub.close_line(line)

    async def _id_at(self, place: int) -> Id:
        """Of the transfer at a place of the log."""
        segment, at = divmod(place, LOG_SEGMENT)
        log = keys.log(self.look.name, "transfers", segment)
        found: Id = await self.look.client.getrange(log, at * RECORD_BYTES, at * RECORD_BYTES + ID_BYTES - 1)
        if found:
            return found
        if segment not in self._segments:
            if len(self._segments) == ARCHIVED_MAX:
                self._segments.clear()
            self._segments[segment] = await self.look.archived(segment)
        return self._segments[segment][at * RECORD_BYTES :][:ID_BYTES]

    async def _accounts(self) -> None:
        """Those that are there, and not among the counted ones: not now, either."""
        counted, others = set(self.accounts.ids), set[Id]()
        async for page in self._pages("account:"):
            others.update(each for each in page if each not in counted)
        before, state = len(counted), await self.look.state()
        await self.accounts.read(state.accounts if state else 0)
        for each in sorted(others.difference(self.accounts.ids[before:]))[:FINDINGS_MAX]:
            self.look.find(f"account {decimal(each)} is there, and not among the {before} that are counted")

    async def _uncounted(self, kind: str) -> None:
        """A record at the place that the next one will take."""
        count = _count(await self.look.state(), kind)
        segment, at = divmod(count, LOG_SEGMENT)
        size = RECORD_BYTES if kind == "transfers" else ACCOUNT_BYTES
        log = keys.log(self.look.name, kind, segment)
        record = await self.look.client.getrange(log, at * size, (at + 1) * size - 1)
        if record.strip(b"\0") and _count(await self.look.state(), kind) == count:
            self.look.find(f"the log of {kind} goes on after the {count} that are counted")


def _count(state: StoredState | None, kind: str) -> int:
    if state is None:
        return 0
    return state.transfers if kind == "transfers" else state.accounts


def _id(name: bytes) -> Id | None:
    """The id in a key; none in one that continues behind it."""
    if len(name) == ID_BYTES:
        return name
    return int(name).to_bytes(ID_BYTES, "little") if len(name) <= DIGITS_MAX and name.isdigit() else None
