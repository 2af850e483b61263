"""The accounts: each as its transfers make it, at the moment that it was read."""

from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from struct import Struct
from typing import TypeAlias

from lastro.ledger import keys
from lastro.ledger.engine.replay import Id, Index, Rows, Sums, decimal
from lastro.ledger.model.codes import AccountFlag
from lastro.ledger.model.stored import (
    ACCOUNT_BYTES,
    INDEX_SEGMENT,
    LOG_SEGMENT,
    PLACE_BYTES,
    StoredAccount,
    StoredState,
)

from .look import PAGE, Look, Unsound

TRIES = 5
"""Reservations expire without a transfer: an account that differs is looked at again before it is a finding."""
PIECE_BYTES = INDEX_SEGMENT * PLACE_BYTES
"""Of indexes read in one turn, or one segment more."""
JOINING = 8
"""Entries of an index that go into its segment together."""
_RECORD = Struct("<16sQ28xI2x")
"""Of an account: its id, timestamp, ledger."""

Lengths: TypeAlias = Mapping[tuple[Id, str, int], int]
"""Account, side, segment of its index → bytes."""


@dataclass(slots=True)
class Accounts:
    """All that are counted."""

    look: Look
    ids: list[Id] = field(default_factory=list)
    """In the order of their creation."""
    ledgers: "array[int]" = field(default_factory=lambda: array("I"))
    newest: int = 0
    posted: list[int] = field(default_factory=lambda: [0, 0])
    """Debits, credits."""
    moments: set[tuple[int, int]] = field(default_factory=set)
    """How many accounts and transfers there were when they were read."""

    async def read(self, count: int) -> None:
        """Their log, from where this is to a count. Raises Unsound."""
        while len(self.ids) < count:
            segment, first = divmod(len(self.ids), LOG_SEGMENT)
            last = min(LOG_SEGMENT, first + count - len(self.ids))
            at = keys.log(self.look.name, "accounts", segment)
            log = await self.look.client.getrange(at, first * ACCOUNT_BYTES, last * ACCOUNT_BYTES - 1)
            here = len(log) // ACCOUNT_BYTES
            for number, stamp, ledger in _RECORD.iter_unpack(log[: here * ACCOUNT_BYTES]):
                if stamp <= self.newest:
                    raise Unsound(f"account {decimal(number)} has timestamp {stamp}, after {self.newest}")
                self.newest = stamp
                self.ids.append(number)
                self.ledgers.append(ledger)
            if here < last - first:
                raise Unsound(f"the log has {len(self.ids)} accounts, {count} are counted")

    async def keeping_history(self) -> list[Id]:
        """Those that do."""
        found: list[Id] = []
        for start in range(0, len(self.ids), PAGE):
            page = self.ids[start : start + PAGE]
            stored = _decoded(page, await self.look.values(page))
            found += [each for each, account in stored.items() if account.flags & AccountFlag.HISTORY]
        return found

    async def compare(self) -> None:
        """All of them with what their transfers make."""
        for start in range(0, len(self.ids), PAGE):
            await self._page({each: at for at, each in enumerate(self.ids[start : start + PAGE], start)})

    async def _page(self, accounts: dict[Id, int]) -> None:
        """Compare some accounts, by their places; what differs is looked at again, a few times."""
        sentences: dict[Id, str] = {}
        for attempt in range(TRIES):
            waiting = [
                each
                for each, held in self.look.replay.pending.items()
                if attempt and held.due and (held.debit in accounts or held.credit in accounts)
            ]
            state, values, said, lengths = await self._at_once(list(accounts), waiting)
            await self.look.advance(state.transfers)
            self.look.release(waiting, said)
            if attempt == 0:
                self._sum_up(state, _decoded(list(accounts), values))
            sentences = await self._differences(accounts, values, lengths)
            if not sentences:
                return
            await self.look.expire()
            accounts = {each: accounts[each] for each in sentences}
        for each, wrong in sentences.items():
            self.look.find(f"account {decimal(each)}: {wrong}")

    async def _at_once(
        self, accounts: list[Id], waiting: list[Id], *, closely: bool = False
    ) -> tuple[StoredState, list[bytes | None], list[bytes | None], Lengths]:
        """The state, what the keys of these accounts and reservations hold, and how long indexes are, at one moment.

        Most accounts have no segment yet: unless looked at closely those are only counted, and there must be none.
        """
        segments: list[tuple[Id, str, int]] = []
        none: list[bytes] = []
        for each in accounts:
            sums = self._sums(each)
            for side, count in (("debits", sums.debits.count), ("credits", sums.credits.count)):
                if closely or count >= JOINING:
                    segments += [(each, side, number) for number in range(count // INDEX_SEGMENT + 1)]
                else:
                    none.append(keys.index(self.look.key(each), side, 0))
        wanted = [keys.state(self.look.name).encode(), *(self.look.key(each) for each in accounts)]
        async with self.look.client.pipeline(transaction=True) as pipe:
            pipe.execute_command("MGET", *wanted)
            pipe.execute_command("MGET", *(keys.transfers(self.look.name, waiting) or wanted[:1]))
            pipe.execute_command("EXISTS", *(none or wanted[:1]))
            for each, side, number in segments:
                pipe.strlen(keys.index(self.look.key(each), side, number))
            (state, *values), said, there, *lengths = await pipe.execute()
        if none and there:
            return await self._at_once(accounts, waiting, closely=True)
        return self.look.state_of(state), values, said[: len(waiting)], dict(zip(segments, lengths, strict=True))

    @property
    def all_posted(self) -> tuple[int, int] | None:
        """Debits and credits of all there are, if all were read at one moment."""
        if len(self.moments) == 1 and next(iter(self.moments))[0] == len(self.ids):
            return self.posted[0], self.posted[1]
        return None

    def _sum_up(self, state: StoredState, stored: Mapping[Id, StoredAccount]) -> None:
        self.moments.add((state.accounts, state.transfers))
        for account in stored.values():
            self.posted[0] += account.balances[1]
            self.posted[1] += account.balances[3]

    def _sums(self, account: Id) -> Sums:
        sums = self.look.replay.sums
        return sums[account] if account in sums else Sums()

    async def _differences(
        self, accounts: Mapping[Id, int], values: Sequence[bytes | None], lengths: Lengths
    ) -> dict[Id, str]:
        """What is wrong with each of these accounts, as the transfers up to here make them."""
        stored = _decoded(list(accounts), values)
        found = {
            each: "is not there" if value is None else "what is stored of it is nothing that a script writes"
            for each, value in zip(accounts, values, strict=True)
            if each not in stored
        }
        for each, account in list(stored.items()):
            wrong = self._sums(each).differs(account) or self._record_differs(accounts[each], account)
            if wrong := wrong or _lengths_differ(each, account, lengths):
                found[each] = wrong
                del stored[each]
        indexes = await self._indexes(stored)
        for each in stored:
            sums, wrong = self._sums(each), None
            for side, index in (("debits", sums.debits), ("credits", sums.credits)):
                wrong = wrong or _index_differs(side, index, indexes[each, side])
            if not wrong and each in self.look.replay.history:
                wrong = await self._rows_differ(each, sums)
            if wrong:
                found[each] = wrong
        return found

    def _record_differs(self, place: int, account: StoredAccount) -> str | None:
        """What its key says otherwise than its record in the log, which is at that place."""
        if account.place != place:
            return f"its key says that it is at place {account.place} of the log, it is at {place}"
        if account.ledger != self.ledgers[place]:
            return f"its key says ledger {account.ledger}, its record {self.ledgers[place]}"
        return None

    async def _indexes(self, stored: dict[Id, StoredAccount]) -> dict[tuple[Id, str], Index]:
        """Both lists of these accounts, as they are stored."""
        wanted: list[tuple[Id, str, int, int]] = []
        found: dict[tuple[Id, str], Index] = {}
        size = 0
        for each, account in stored.items():
            for side, joined in (("debits", account.debits_joined), ("credits", account.credits_joined)):
                found[each, side] = Index()
                for start in range(0, joined, INDEX_SEGMENT):
                    length = min(INDEX_SEGMENT, joined - start) * PLACE_BYTES
                    wanted.append((each, side, start // INDEX_SEGMENT, length))
                    size += length
                    if size > PIECE_BYTES:
                        await self._read(wanted, found)
                        wanted, size = [], 0
        await self._read(wanted, found)
        for each, account in stored.items():
            found[each, "debits"].extend(account.debits_waiting)
            found[each, "credits"].extend(account.credits_waiting)
        return found

    async def _read(self, wanted: Sequence[tuple[Id, str, int, int]], found: dict[tuple[Id, str], Index]) -> None:
        async with self.look.client.pipeline(transaction=False) as pipe:
            for each, side, number, length in wanted:
                pipe.getrange(keys.index(self.look.key(each), side, number), 0, length - 1)
            pages = await pipe.execute() if wanted else []
        for (each, side, _, _), page in zip(wanted, pages, strict=True):
            found[each, side].extend(page)

    async def _rows_differ(self, account: Id, sums: Sums) -> str | None:
        """What is wrong with an account's balance history, up to here."""
        rows = Rows()
        history = keys.history(self.look.key(account))
        async for place, row in self.look.client.hscan_iter(history, count=PAGE):
            if int.from_bytes(place, "little") < self.look.replay.place:
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


def _lengths_differ(each: Id, account: StoredAccount, lengths: Lengths) -> str | None:
    """A segment of an index that has more or less than the account says."""
    for side, joined in (("debits", account.debits_joined), ("credits", account.credits_joined)):
        number = 0
        while (length := lengths.get((each, side, number))) is not None:
            belong = max(0, min(INDEX_SEGMENT, joined - number * INDEX_SEGMENT))
            if length != belong * PLACE_BYTES:
                said = f"{length / PLACE_BYTES:g} entries in segment {number}, where {belong} belong"
                return f"its index of {side} has {said}"
            number += 1
    return None


def _index_differs(side: str, index: Index, stored: Index) -> str | None:
    return None if stored == index else f"its index of {side} is not the list of its transfers"
