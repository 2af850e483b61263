"""What the books say at one moment, and what the records say they must: also while money moves.

Balances and counters are read at once, and the records after them. A record tells when it was accepted and when it
ended, so that what came later is left out; of what came in the very milliseconds of the reading both may be true.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, TypeAlias

from lastro.core.money import decimal
from lastro.pix import scripts
from lastro.pix.model.record import Record

from .accounts import accounts_in
from .findings import Finding, Kind
from .pix import Pix

Hash: TypeAlias = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Books:
    """Balances and counters, read at one moment between the two times."""

    from_ms: int
    to_ms: int
    accounts: Hash
    counters: Hash
    archived: Hash
    totals: Sequence[bytes | None]
    """count, centavos, and these as text"""

    @classmethod
    async def read(cls, pix: Pix) -> Self:
        """As they are now."""
        keys, from_ms = pix.keys, await pix.now_ms()
        *hashes, count, cents, amount = await scripts.read_books(
            pix.hub.read,
            accounts=keys.accounts,
            counters=keys.counters,
            archived=keys.archived,
            count=keys.count,
            cents=keys.cents,
            amount=keys.amount,
        )
        accounts, counters, archived = (dict(zip(flat[::2], flat[1::2], strict=True)) for flat in hashes)
        return cls(from_ms, await pix.now_ms(), accounts, counters, archived, (count, cents, amount))

    def still(self, later: "Books") -> bool:
        """Whether nothing happened from these to the later ones."""
        return replace(self, from_ms=later.from_ms, to_ms=later.to_ms) == later


@dataclass(slots=True)
class Sums:
    """What balances and counters must be."""

    count: int = 0
    cents: int = 0
    paid_in: Counter[str] = field(default_factory=Counter)
    paid_out: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)

    def settle(self, record: Record) -> None:
        """Add a settled record."""
        if not record.is_original:
            self.paid_out[record.payer] += record.cents
            self.paid_in[record.payee] += record.cents
        if not record.is_return:
            self.count += 1
            self.cents += record.cents


@dataclass(slots=True)
class Recorded:
    """What the records say, page by page."""

    books: Books
    over: Sums = field(default_factory=Sums)
    """Of the records that were final before the books were read."""
    recent: list[Record] = field(default_factory=list)
    """The others, not final or final since."""

    def add(self, records: Sequence[Record]) -> None:
        """Another page."""
        read_ms = self.books.from_ms
        for record in records:
            if record.archived:
                continue
            if record.letter == "A" or record.final_ms >= read_ms:
                self.recent.append(record)
            elif record.state == "SETTLED":
                self.over.settle(record)

    def bounds(self, *, still: bool) -> tuple[Sums, Sums]:
        """At least, and at most; the same when nothing happened meanwhile: then no clock is asked."""
        over, to_ms = self.over, self.books.to_ms
        low, high = (
            Sums(over.count, over.cents, Counter(over.paid_in), Counter(over.paid_out), Counter(over.held))
            for _ in range(2)
        )
        for record in self.recent:
            settled, waiting = record.state == "SETTLED", record.letter == "A"
            if settled and (still or record.final_ms <= to_ms):
                high.settle(record)
            if settled and still:
                low.settle(record)
            if waiting if still else _held(record) and record.accepted_ms <= to_ms:
                high.held[record.payer] += record.cents
            certain = record.accepted_ms < self.books.from_ms and (waiting or record.final_ms > to_ms)
            if waiting if still else _held(record) and certain:
                low.held[record.payer] += record.cents
        return low, high


def _held(record: Record) -> bool:
    """Whether its funds ever were held: not those of a return, an original message, or what was refused at once."""
    return not (record.is_return or record.is_original or (record.letter == "R" and record.by == "spi"))


def differences(pix: Pix, books: Books, low: Sums, high: Sums) -> Iterator[Finding]:
    """Where the books are not within what the records say."""
    archived = {name.decode(): int(value) for name, value in books.archived.items()}
    for account in accounts_in(books.accounts):
        ispb = account.ispb
        paid_in, paid_out = archived.get(f"{ispb}:in", 0), archived.get(f"{ispb}:out", 0)
        wanted = {
            "held": (account.held_cents, low.held[ispb], high.held[ispb]),
            "paid in": (account.in_cents, low.paid_in[ispb] + paid_in, high.paid_in[ispb] + paid_in),
            "paid out": (account.out_cents, low.paid_out[ispb] + paid_out, high.paid_out[ispb] + paid_out),
        }
        for name, (has, least, most) in wanted.items():
            if not least <= has <= most:
                kind: Kind = "orphan_hold" if name == "held" else "wrong_balance"
                should = _range(decimal(least), decimal(most))
                yield Finding(kind, ispb, f"{name} is {decimal(has)} and should be {should}")
    counts = [sums.count + archived.get("count", 0) for sums in (low, high)]
    cents = [sums.cents + archived.get("cents", 0) for sums in (low, high)]
    keys = pix.keys
    count, total, amount = ((value or b"0").decode() for value in books.totals)
    settled = books.counters.get(b"settled", b"0").decode()
    for name, told, has, (least, most) in (
        (keys.count, count, int(count), counts),
        (keys.cents, total, int(total), cents),
        (keys.amount, amount, int(amount.replace(".", "")) if amount[:1].isdigit() else -1, cents),
        (f"{keys.counters} settled", settled, int(settled), counts),
    ):
        if not least <= has <= most:
            yield Finding("skewed_counter", str(name), f"is {told} and should be {_range(str(least), str(most))}")


def unbalanced(books: Books) -> Iterator[Finding]:
    """What is wrong in the books alone, at whatever moment: money that came from nowhere, or went there."""
    for account in accounts_in(books.accounts):
        has, should = account.free_cents + account.held_cents, account.expected_cents
        if has != should:
            detail = f"free and held is {decimal(has)} and should be {decimal(should)}"
            yield Finding("wrong_balance", account.ispb, detail)


def _range(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"
