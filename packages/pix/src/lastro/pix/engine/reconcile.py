"""Proof that it all adds up: records, messages, balances, holds, counters and streams, each against the others.

What is wrong is named by its EndToEndId where one is concerned, by its participant or counter where none is.
"""

import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lastro.core.errors import Fault
from lastro.core.keys import Key
from lastro.core.money import decimal
from lastro.core.redis.clients import Command
from lastro.pix.model.record import Record

from .accounts import accounts
from .archive import missing
from .deadlines import read_records
from .findings import Finding, Kind
from .pages import pages
from .pix import Pix
from .responses import Responses, Told

PAGE = 1_000
TRIES = 3
PAGE_OBJECTS = 50_000


@dataclass(slots=True)
class Report:
    """What was looked at, and what was wrong with it."""

    findings: list[Finding] = field(default_factory=list)
    records: int = 0
    messages: int = 0
    sums_checked: bool = True


@dataclass(slots=True)
class _Sums:
    """What the records say that balances and counters must be."""

    count: int = 0
    cents: int = 0
    paid_in: Counter[str] = field(default_factory=Counter)
    paid_out: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    returned: Counter[str] = field(default_factory=Counter)


async def reconcile(pix: Pix, told: Told = lambda _done, _total: None) -> Report:
    """Look at everything. Under traffic only what is wrong in two looks is a finding; sums wait for a quiet one.

    ``told`` hears how many records and messages were looked at, and how many there are.
    """
    with _seldom_collected():
        report = await _look(pix, told)
        before = report.findings
        for _ in range(TRIES - 1):
            if report.sums_checked and not before:
                break
            quiet, report = report.sums_checked, await _look(pix, told)
            found, report.findings = report.findings, sorted(set(before) & set(report.findings))
            if quiet and report.sums_checked:
                break
            before = found
    return report


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """A page is thousands of lists that go by themselves: looking for cycles among them took a quarter of the CPU."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], PAGE_OBJECTS), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _look(pix: Pix, told: Told) -> Report:
    before = await _stamp(pix)
    report, sums, held, unreadable = Report(), _Sums(), list[str](), set[str]()
    now = await pix.now_ms()
    responses = Responses(pix, now, {minute.decode() for minute in await pix.read.zrange(pix.keys.minutes, 0, -1)})
    total = await _size(pix)
    async for records in _records(pix, unreadable):
        report.records += len(records)
        held += [record.id for record in records if record.letter == "A"]
        marks = [record for record in records if record.archived]
        report.findings += await _stories(pix, marks) if marks else []
        _add(sums, records)
        responses.expect(records)
        told(report.records, max(total, report.records))
    await responses.hear()
    report.messages = responses.messages
    told(total, total)
    quiet = before == await _stamp(pix)
    report.findings += await responses.findings(lambda: _records(pix, unreadable), quiet=quiet)
    report.findings += [Finding("unreadable", name, "its record says nothing") for name in unreadable]
    report.findings += await _holds(pix, held)
    report.findings += await _stuck(pix)
    report.findings += await _returns(pix, sums)
    differences = [*await _balances(pix, sums), *await _counters(pix, sums)]
    report.sums_checked = before == await _stamp(pix)
    if report.sums_checked:
        report.findings += differences
    report.findings.sort()
    return report


async def _stories(pix: Pix, marks: list[Record]) -> list[Finding]:
    """What was shortened in the store is in the archive."""
    return [Finding("lost_story", mark.id, "it is not in the archive") for mark in await missing(pix, marks)]


async def _size(pix: Pix) -> int:
    """Records and messages there are."""
    async with pix.read.pipeline(transaction=False) as pipe:
        for minute in await pix.read.zrange(pix.keys.minutes, 0, -1):
            pipe.hlen(pix.keys.records(minute.decode()))
        for outbox in await pix.read.smembers(pix.keys.backends):
            pipe.xlen(outbox)
        return sum(await pipe.execute()) if len(pipe) else 0


async def _stamp(pix: Pix) -> Any:
    """Changes whenever money does, or a record goes."""
    return [await pix.read.hgetall(key) for key in (pix.keys.counters, pix.keys.accounts, pix.keys.archived)]


async def _records(pix: Pix, unreadable: set[str]) -> AsyncIterator[list[Record]]:
    """Every record, by pages; the ids of those that are none go to ``unreadable``."""
    for minute in await pix.read.zrange(pix.keys.minutes, 0, -1):
        key = pix.keys.records(minute.decode())

        def ask(cursor: bytes, key: Key = key) -> Command:
            return ("HSCAN", key, cursor, "COUNT", PAGE)

        def following(page: Any) -> Command | None:
            return None if page[0] == b"0" else ask(page[0])

        async for _, page in pages(pix.hub.line(pix.hub.place(key)), ask(b"0"), following):
            found = [(name.decode(), text.decode()) for name, text in zip(page[::2], page[1::2], strict=True) if name]
            try:
                records = [Record.parse(name, text) for name, text in found]
            except ValueError:
                bad = {name for name, text in found if not _readable(name, text)}
                unreadable |= bad
                records = [Record.parse(name, text) for name, text in found if name not in bad]
            yield records


def _readable(name: str, text: str) -> bool:
    try:
        return bool(Record.parse(name, text))
    except ValueError:
        return False


def _add(sums: _Sums, records: Sequence[Record]) -> None:
    for record in records:
        if record.letter == "A":
            sums.held[record.payer] += record.cents
        if record.archived or record.state != "SETTLED":
            continue
        if not record.is_original:
            sums.paid_out[record.payer] += record.cents
            sums.paid_in[record.payee] += record.cents
        if record.is_return:
            sums.returned[record.by] += record.cents
        else:
            sums.count += 1
            sums.cents += record.cents


async def _holds(pix: Pix, held: list[str]) -> list[Finding]:
    """Every hold ends: its payment is on the wheel of deadlines, which any worker sweeps."""
    members = await pix.read.zrange(pix.keys.deadlines, 0, -1)
    swept = {name for member in members for name in member.decode().split(" ")}
    orphans = [
        record
        for start in range(0, len(held), PAGE)
        for record in await read_records(pix, [name for name in held[start : start + PAGE] if name not in swept])
    ]
    return [
        Finding("orphan_hold", record.id, "its funds are held and no deadline will free them")
        for record in orphans
        if record.letter == "A"  # else it came to its end meanwhile
    ]


async def _stuck(pix: Pix) -> list[Finding]:
    """Entries whose worker has been silent for much longer than anybody should wait."""
    findings = []
    for source in (pix.keys.payments, pix.keys.normal, pix.keys.answers):
        try:
            found: Any = await pix.read.xpending_range(
                source, pix.settings.group, "-", "+", PAGE, idle=2 * pix.settings.idle_threshold_ms + 1_000
            )
        except Fault:  # no stream, no group, or a list: nothing can be pending
            continue
        for entry in found:
            name = await _named(pix, source, entry["message_id"])
            detail = (
                f"pending in {source} with {entry['consumer'].decode()}, delivered {entry['times_delivered']} times"
            )
            findings.append(Finding("stuck_pending", name, detail))
    return findings


async def _named(pix: Pix, source: Key, entry: bytes) -> str:
    found: Any = await pix.read.xrange(source, min=entry, max=entry)
    if not found:
        return entry.decode()
    fields = found[0][1]
    body = fields.get(b"payment") or fields.get(b"answer")
    if body:
        try:
            told = msgspec.json.decode(body)
            return str(told["end_to_end_id"])
        except (msgspec.DecodeError, KeyError, TypeError):
            return entry.decode()
    known = fields.get(b"end_to_end_id") or fields.get(b"transaction_id") or entry
    return str(known.decode(errors="replace"))


async def _returns(pix: Pix, sums: _Sums) -> list[Finding]:
    paid = {record.id: record.cents for record in await read_records(pix, list(sums.returned))}
    findings = []
    for original, cents in sums.returned.items():
        counted = int(await pix.read.hget(pix.keys.returned(original), "cents") or 0)
        if counted < cents or cents > paid.get(original, cents):
            findings.append(
                Finding("over_returned", original, f"{decimal(cents)} given back, {decimal(counted)} counted")
            )
    return findings


async def _balances(pix: Pix, sums: _Sums) -> list[Finding]:
    archived = {name.decode(): int(value) for name, value in (await pix.read.hgetall(pix.keys.archived)).items()}
    findings = []
    for account in await accounts(pix):
        ispb = account.ispb
        wanted = {
            "free and held": (account.free_cents + account.held_cents, account.expected_cents),
            "held": (account.held_cents, sums.held[ispb]),
            "paid in": (account.in_cents, sums.paid_in[ispb] + archived.get(f"{ispb}:in", 0)),
            "paid out": (account.out_cents, sums.paid_out[ispb] + archived.get(f"{ispb}:out", 0)),
        }
        for name, (has, should) in wanted.items():
            if has != should:
                kind: Kind = "orphan_hold" if name == "held" else "wrong_balance"
                findings.append(Finding(kind, ispb, f"{name} is {decimal(has)} and should be {decimal(should)}"))
    return findings


async def _counters(pix: Pix, sums: _Sums) -> list[Finding]:
    read, keys = pix.read, pix.keys
    count, cents, amount = await read.mget(keys.count, keys.cents, keys.amount)
    archived = await read.hmget(keys.archived, ["count", "cents"])
    settled = await read.hget(keys.counters, "settled")
    should = (sums.count + int(archived[0] or 0), sums.cents + int(archived[1] or 0))
    text = (amount or b"0.00").decode()
    findings = []
    for key, has, wanted in (
        (keys.count, str(int(count or 0)), str(should[0])),
        (keys.cents, str(int(cents or 0)), str(should[1])),
        (keys.amount, text, decimal(should[1])),
        (f"{keys.counters} settled", str(int(settled or 0)), str(should[0])),
    ):
        if has != wanted:
            findings.append(Finding("skewed_counter", str(key), f"is {has} and should be {wanted}"))
    return findings
