"""The transfers of a ledger, taken one by one in plain Python: what balances, indexes and histories must be."""

from collections import defaultdict
from dataclasses import dataclass, field
from struct import Struct
from typing import TypeAlias
from zlib import crc32

from lastro.ledger.model.codes import AccountFlag, TransferFlag
from lastro.ledger.model.records import U128_MAX
from lastro.ledger.model.stored import BALANCE_BYTES, PLACE_BYTES, StoredAccount

RECORD = Struct("<16s16s16s16s16s28xIIHHQ")
RECORD_BYTES = 128
Id: TypeAlias = bytes
NAMES = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
PENDING = int(TransferFlag.PENDING)
POST, VOID = int(TransferFlag.POST_PENDING_TRANSFER), int(TransferFlag.VOID_PENDING_TRANSFER)
"""As plain numbers: an enum's `&` takes a microsecond, a million times three."""
SETTLES = POST | VOID
NANOS = 1_000_000_000


@dataclass(slots=True)
class Index:
    """One of an account's two lists of places: how many, and their checksum."""

    count: int = 0
    crc: int = 0

    def add(self, entry: bytes) -> None:
        """The next place."""
        self.count += 1
        self.crc = crc32(entry, self.crc)

    def extend(self, entries: bytes) -> None:
        """The next places."""
        self.count += len(entries) // PLACE_BYTES
        self.crc = crc32(entries, self.crc)


@dataclass(slots=True)
class Rows:
    """An account's balance history: how many rows, and checksums of them in any order."""

    count: int = 0
    whole: int = 0
    posted: int = 0
    """Of the posted balances alone: when a reservation expired between two transfers, only the server knew."""

    def add(self, place: bytes, row: bytes) -> None:
        """One more."""
        self.count += 1
        self.whole ^= hash(place + row)
        self.posted ^= hash(place + row[BALANCE_BYTES : 2 * BALANCE_BYTES] + row[3 * BALANCE_BYTES :])


@dataclass(slots=True)
class Sums:
    """One account as its transfers make it."""

    balances: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    closed: bool = False
    timed: bool = False
    """Had a reservation that may have expired by itself."""
    debits: Index = field(default_factory=Index)
    credits: Index = field(default_factory=Index)
    rows: Rows = field(default_factory=Rows)

    def differs(self, stored: StoredAccount) -> str | None:
        """The first thing that is not as stored."""
        for name, said, computed in zip(NAMES, stored.balances, self.balances, strict=True):
            if said != computed:
                return f"{name} is {said}, its transfers make {computed}"
        if self.closed and not stored.flags & AccountFlag.CLOSED:
            return "is open, its transfers closed it"
        for side, index, joined, waiting in (
            ("debits", self.debits, stored.debits_joined, stored.debits_waiting),
            ("credits", self.credits, stored.credits_joined, stored.credits_waiting),
        ):
            if (entries := joined + len(waiting) // PLACE_BYTES) != index.count:
                return f"its index of {side} has {entries} entries, its transfers make {index.count}"
        return None


@dataclass(slots=True)
class Held:
    """A reservation."""

    debit: Id
    credit: Id
    amount: int
    flags: int
    place: int
    """In the log."""
    due: int
    """When it expires, in nanoseconds; 0 for never."""


@dataclass(slots=True)
class Replay:
    """The transfers so far."""

    history: frozenset[Id] = frozenset()
    """The accounts that keep their history."""
    sums: defaultdict[Id, Sums] = field(default_factory=lambda: defaultdict(Sums))
    pending: dict[Id, Held] = field(default_factory=dict)
    newest: int = 0
    place: int = 0

    def take(self, records: bytes) -> str | None:
        """Apply the next transfers; what is wrong with the first that cannot be, if any."""
        for number, debit, credit, wide, pending_id, timeout, _, _, flags, stamp in RECORD.iter_unpack(records):
            if stamp <= self.newest:
                return f"transfer {decimal(number)} has timestamp {stamp}, after {self.newest}"
            self.newest = stamp
            amount = int.from_bytes(wide, "little")
            if flags & SETTLES:
                held = self.pending.pop(pending_id, None)
                if held is None:
                    return f"transfer {decimal(number)} settles {decimal(pending_id)}, which is not pending"
                self.release(held, amount if flags & POST else 0, reopen=bool(flags & VOID))
            elif flags & PENDING:
                due = stamp + timeout * NANOS if timeout else 0
                self._hold(number, Held(debit, credit, amount, flags, self.place, due))
            else:
                self.sums[debit].balances[1] += amount
                self.sums[credit].balances[3] += amount
            self._index(debit, credit)
        return None

    def _hold(self, number: Id, held: Held) -> None:
        self.pending[number] = held
        debit, credit = self.sums[held.debit], self.sums[held.credit]
        debit.balances[0] += held.amount
        credit.balances[2] += held.amount
        debit.closed |= bool(held.flags & TransferFlag.CLOSING_DEBIT)
        credit.closed |= bool(held.flags & TransferFlag.CLOSING_CREDIT)
        debit.timed |= held.due > 0
        credit.timed |= held.due > 0

    def release(self, held: Held, posted: int = 0, *, reopen: bool = True) -> None:
        """Take a reservation away and post of it what was posted; what it closed is open again."""
        debit, credit = self.sums[held.debit], self.sums[held.credit]
        debit.balances[0] -= held.amount
        credit.balances[2] -= held.amount
        debit.balances[1] += posted
        credit.balances[3] += posted
        if reopen and held.flags & TransferFlag.CLOSING_DEBIT:
            debit.closed = False
        if reopen and held.flags & TransferFlag.CLOSING_CREDIT:
            credit.closed = False

    def _index(self, debit: Id, credit: Id) -> None:
        entry = self.place.to_bytes(PLACE_BYTES, "little")
        self.sums[debit].debits.add(entry)
        self.sums[credit].credits.add(entry)
        self.place += 1
        for each in (debit, credit):
            if each in self.history:
                sums = self.sums[each]
                # with what expired meanwhile still in it a pending sum may pass 2^128; that half is not compared then
                kept = [(one & U128_MAX).to_bytes(BALANCE_BYTES, "little") for one in sums.balances]
                sums.rows.add(entry, b"".join(kept))


def decimal(number: Id) -> int:
    """An id as people write it."""
    return int.from_bytes(number, "little")
