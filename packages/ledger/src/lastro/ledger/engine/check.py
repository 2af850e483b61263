"""Recompute everything from the log of transfers, and say what differs: keys, balances, indexes, histories.

Also while traffic runs: accounts are read together with the number of transfers that made them, and compared there.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from struct import Struct
from typing import Any
from zlib import crc32

from lastro.core.errors import Fault
from lastro.ledger import keys
from lastro.ledger.model.codes import AccountFlag
from lastro.ledger.model.stored import (
    ACCOUNT_BYTES,
    EXPIRED,
    INDEX_SEGMENT,
    LOG_SEGMENT,
    PLACE_BYTES,
    POSTED,
    STATUSES,
    VOIDED,
    StoredAccount,
    accounts_stored,
    place_and_status,
    transfers_stored,
)

from . import Ledger
from .replay import PENDING, POST, RECORD_BYTES, SETTLES, VOID, Id, Index, Replay, Rows, Sums, decimal

PAGE = 500
SEGMENTS = 16
FINDINGS_MAX = 100
KEYS = 1_000
TRIES = 5
"""Reservations expire without a transfer: an account that differs is looked at again before it is a finding."""

_BARE = Struct("<16s48x16s38xH8x")
"""Of a record: its id, what it settles, its flags."""
MARKS = {POST: POSTED, VOID: VOIDED}
STATES = {POSTED, VOIDED, EXPIRED}


async def check(ledger: Ledger, told: Callable[[int, int], None] = lambda _done, _total: None) -> list[str]:
    """What does not add up: nothing, or sentences that name the first transfer, or the accounts, that are wrong.

    ``told`` hears how many transfers were looked at, and how many there are.
    """
    looking = _Check(ledger, told)
    try:
        return await looking.run()
    except Fault as fault:
        if "WRONGTYPE" not in str(fault):
            raise
        return [*looking.findings, f"a key is not of its type: {fault}"]


@dataclass(slots=True)
class _Check:
    ledger: Ledger
    told: Callable[[int, int], None]
    replay: Replay = field(default_factory=Replay)
    findings: list[str] = field(default_factory=list)
    posted: list[int] = field(default_factory=lambda: [0, 0])
    places: set[int] = field(default_factory=set)

    @property
    def client(self) -> Any:
        return self.ledger.hub.read

    @property
    def name(self) -> str:
        return self.ledger.name or self.ledger.settings.name

    async def run(self) -> list[str]:
        state = await self.client.get(keys.state(self.name))
        if state is None:
            return []
        accounts = await self._accounts(accounts_stored(state))
        self.replay.history = frozenset(await self._keeping_history(accounts))
        if wrong := await self._advance(transfers_stored(state)):
            return [wrong]
        await self._expire()
        for start in range(0, len(accounts), PAGE):
            await self._page(accounts[start : start + PAGE])
        await self._settled()
        if len(self.places) == 1 and self.posted[0] != self.posted[1]:
            self.findings.append(f"posted debits are {self.posted[0]}, posted credits {self.posted[1]}")
        strangers = list(self.replay.sums.keys() - set(accounts))
        unknown = [each for each, value in zip(strangers, await self._values(strangers), strict=True) if value is None]
        if unknown:
            self.findings.append(f"{len(unknown)} accounts have transfers and are not there")
        return self.findings

    async def _accounts(self, count: int) -> list[Id]:
        """All ids, in the order of their creation."""
        found: list[Id] = []
        for segment in range(0, count, LOG_SEGMENT):
            log = await self.client.get(keys.log(self.name, "accounts", segment // LOG_SEGMENT)) or b""
            mine = min(LOG_SEGMENT, count - segment)
            here = min(mine, len(log) // ACCOUNT_BYTES)
            found += [log[at : at + 16] for at in range(0, here * ACCOUNT_BYTES, ACCOUNT_BYTES)]
            if here < mine:
                self._find(f"the log has {len(found)} accounts, {count} are counted")
                break
        return found

    async def _keeping_history(self, accounts: Sequence[Id]) -> list[Id]:
        values = await self._values(accounts)
        stored = _decoded(accounts, values)
        return [each for each, account in stored.items() if account.flags & AccountFlag.HISTORY]

    async def _values(self, accounts: Sequence[Id]) -> list[bytes | None]:
        found: list[bytes | None] = []
        for start in range(0, len(accounts), PAGE):
            found += await self.client.mget([self._key(each) for each in accounts[start : start + PAGE]])
        return found

    def _key(self, account: Id) -> bytes:
        return keys.account(self.name, int.from_bytes(account, "little"))

    async def _advance(self, place: int) -> str | None:
        """Replay the log up to a place; what is wrong with the first transfer that cannot be."""
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
                try:
                    records = page or (await self.ledger.archive.segment(segment))[start:end]
                except Fault as fault:
                    return str(fault)
                first = self.replay.place
                if len(records) != end - start:
                    return f"the log has {first + len(records) // RECORD_BYTES} transfers, {place} are counted"
                if wrong := self.replay.take(records):
                    return wrong
                await self._keys(first, records)
            self.told(self.replay.place, place)
        return None

    async def _keys(self, first: int, records: bytes) -> None:
        """Whether the key of each transfer has its place, and that of each which it settles says so."""
        rows = list(_BARE.iter_unpack(records))
        settling = [(pending, MARKS[flags & SETTLES]) for _, pending, flags in rows if flags & SETTLES]
        said = await self._said([number for number, _, _ in rows] + [pending for pending, _ in settling])
        for place, ((number, _, flags), value) in enumerate(zip(rows, said, strict=False), first):
            known = place_and_status(value)[0] == place if flags & PENDING else value == b"%d" % (place * STATUSES)
            if not known:
                self._find(f"transfer {decimal(number)}: its key does not say that it is at place {place} of the log")
        for (pending, status), value in zip(settling, said[len(rows) :], strict=True):
            if place_and_status(value)[1] != status:
                self._find(f"transfer {decimal(pending)} is settled, and its key does not say so")

    async def _said(self, transfers: Sequence[Id]) -> list[bytes | None]:
        """What the keys of these transfers hold."""
        found: list[bytes | None] = []
        for start in range(0, len(transfers), KEYS):
            page = transfers[start : start + KEYS]
            found += await self.client.mget(keys.transfers(self.name, page))
        return found

    async def _expire(self) -> None:
        """Release what was released by time; no transfer tells of that."""
        waiting = [each for each, held in self.replay.pending.items() if held.timed]
        for each, value in zip(waiting, await self._said(waiting), strict=True):
            if place_and_status(value)[1] == EXPIRED:
                self.replay.release(self.replay.pending.pop(each))

    async def _settled(self) -> None:
        """Whether something is marked as settled that nothing settles: neither a transfer nor time."""
        waiting = list(self.replay.pending)
        said = await self._said(waiting)
        settled = {each for each, value in zip(waiting, said, strict=True) if place_and_status(value)[1] in STATES}
        if wrong := await self._advance(transfers_stored(await self.client.get(keys.state(self.name)))):
            self._find(wrong)
        await self._expire()
        for each in settled & self.replay.pending.keys():
            self._find(f"transfer {decimal(each)} is marked as settled, and nothing settles it")

    def _find(self, sentence: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(sentence)

    async def _page(self, accounts: list[Id]) -> None:
        """Compare some accounts; what differs is looked at again, a few times."""
        sentences: dict[Id, str] = {}
        for attempt in range(TRIES):
            state, *values = await self.client.mget([keys.state(self.name), *map(self._key, accounts)])
            if wrong := await self._advance(transfers_stored(state)):
                self.findings.append(wrong)
                return
            if attempt == 0:
                self._sum_up(accounts, values)
            sentences = await self._differences(accounts, values)
            if not sentences:
                return
            await self._expire()
            accounts = list(sentences)
        for each, wrong in sentences.items():
            self._find(f"account {decimal(each)}: {wrong}")

    def _sum_up(self, accounts: Sequence[Id], values: Sequence[bytes | None]) -> None:
        self.places.add(self.replay.place)
        for account in _decoded(accounts, values).values():
            self.posted[0] += account.balances[1]
            self.posted[1] += account.balances[3]

    async def _differences(self, accounts: Sequence[Id], values: Sequence[bytes | None]) -> dict[Id, str]:
        """What is wrong with each of these accounts, as the transfers up to here make them."""
        stored = _decoded(accounts, values)
        found = {
            each: "is not there" if value is None else "what is stored of it is nothing that a script writes"
            for each, value in zip(accounts, values, strict=True)
            if each not in stored
        }
        for each, account in list(stored.items()):
            if wrong := self._sums(each).differs(account):
                found[each] = wrong
                del stored[each]
        indexes = await self._indexes(stored)
        for each in stored:
            sums, wrong = self._sums(each), None
            for side, index in (("debits", sums.debits), ("credits", sums.credits)):
                wrong = wrong or _index_differs(side, index, indexes[each, side])
            if not wrong and each in self.replay.history:
                wrong = await self._rows_differ(each, sums)
            if wrong:
                found[each] = wrong
        return found

    def _sums(self, account: Id) -> Sums:
        return self.replay.sums[account] if account in self.replay.sums else Sums()

    async def _indexes(self, stored: dict[Id, StoredAccount]) -> dict[tuple[Id, str], bytes]:
        """The places in both lists of these accounts."""
        wanted: list[tuple[Id, str]] = []
        found: dict[tuple[Id, str], bytes] = {}
        async with self.client.pipeline(transaction=False) as pipe:
            for each, account in stored.items():
                for side, joined in (("debits", account.debits_joined), ("credits", account.credits_joined)):
                    found[each, side] = b""
                    for segment in range(0, joined, INDEX_SEGMENT):
                        size = min(INDEX_SEGMENT, joined - segment) * PLACE_BYTES
                        pipe.getrange(keys.index(self._key(each), side, segment // INDEX_SEGMENT), 0, size - 1)
                        wanted.append((each, side))
            pages = await pipe.execute() if wanted else []
        for place, page in zip(wanted, pages, strict=True):
            found[place] += page
        for each, account in stored.items():
            found[each, "debits"] += account.debits_waiting
            found[each, "credits"] += account.credits_waiting
        return found

    async def _rows_differ(self, account: Id, sums: Sums) -> str | None:
        """What is wrong with an account's balance history, up to here."""
        rows = Rows()
        async for place, row in self.client.hscan_iter(keys.history(self._key(account)), count=PAGE):
            if int.from_bytes(place, "little") < self.replay.place:
                rows.add(place, row)
        if rows.count != sums.rows.count:
            return f"its balance history has {rows.count} rows, its transfers make {sums.rows.count}"
        same = rows.posted == sums.rows.posted if sums.timed else rows.whole == sums.rows.whole
        return None if same else "a row of its balance history is not what its transfers make"


def _decoded(accounts: Sequence[Id], values: Sequence[bytes | None]) -> dict[Id, StoredAccount]:
    """Those that are there, and are what a script writes."""
    found: dict[Id, StoredAccount] = {}
    for each, value in zip(accounts, values, strict=True):
        with suppress(ValueError):
            if value is not None:
                found[each] = StoredAccount.decode(value)
    return found


def _index_differs(side: str, index: Index, stored: bytes) -> str | None:
    if len(stored) != index.count * PLACE_BYTES:
        return f"its index of {side} has {len(stored) / PLACE_BYTES:g} entries, its transfers make {index.count}"
    return None if crc32(stored) == index.crc else f"its index of {side} is not the list of its transfers"
