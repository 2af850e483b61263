"""Proof that it all adds up: records, messages, balances, holds, counters and streams, each against the others.

What is wrong is named by its EndToEndId where one is concerned, by its participant or counter where none is.
"""

import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lastro.core.errors import Fault
from lastro.core.keys import Key
from lastro.core.money import decimal
from lastro.core.redis.connections import Command
from lastro.pix.model.record import Record

from .archive import missing
from .books import Books, Recorded, differences, unbalanced
from .deadlines import read_records
from .findings import Finding
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


async def reconcile(pix: Pix, told: Told = lambda _done, _total: None) -> Report:
    """Look at everything. Only what is wrong in two looks is a finding; sums wait for one in which no record went.

    ``told`` hears how many records and messages were looked at, and how many there are.
    """
    with _seldom_collected():
        report = await _look(pix, told)
        before = report.findings
        for _ in range(TRIES - 1):
            if report.sums_checked and not before:
                break
            quiet, report = report.sums_checked, await _look(pix, told)
            found, same = report.findings, {(finding.kind, finding.id) for finding in before}
            report.findings = [finding for finding in found if (finding.kind, finding.id) in same]
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
    books = await Books.read(pix)
    report, recorded, returned = Report(), Recorded(books), Counter[str]()
    held, unreadable = list[str](), set[str]()
    now = await pix.now_ms()
    responses = Responses(pix, now, {minute.decode() for minute in await pix.read.zrange(pix.keys.minutes, 0, -1)})
    total = await _size(pix)
    async for records in _records(pix, unreadable):
        report.records += len(records)
        held += [record.id for record in records if record.letter == "A"]
        marks = [record for record in records if record.archived]
        report.findings += await _stories(pix, marks) if marks else []
        recorded.add(records)
        for record in records:
            if record.is_return and not record.archived:
                returned[record.by] += record.cents
        responses.expect(records)
        told(report.records, max(total, report.records))
    await responses.hear()
    report.messages = responses.messages
    told(total, total)
    quiet = books.still(await Books.read(pix))
    report.findings += await responses.findings(lambda: _records(pix, unreadable), quiet=quiet)
    report.findings += [Finding("unreadable", name, "its record says nothing") for name in unreadable]
    report.findings += await _holds(pix, held)
    report.findings += await _stuck(pix)
    report.findings += await _returns(pix, returned)
    report.findings += unbalanced(books)
    later = await Books.read(pix)
    report.sums_checked = books.archived == later.archived  # else a record was read whole, and summed there as well
    if report.sums_checked:
        report.findings += differences(pix, books, *recorded.bounds(still=books.still(later)))
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


async def _records(pix: Pix, unreadable: set[str]) -> AsyncIterator[list[Record]]:
    """Every record, by pages; the ids of those that are none go to ``unreadable``."""
    for minute in await pix.read.zrange(pix.keys.minutes, 0, -1):
        key, seen = pix.keys.records(minute.decode()), {b""}

        def ask(cursor: bytes, key: Key = key) -> Command:
            return ("HSCAN", key, cursor, "COUNT", PAGE)

        def following(page: Any) -> Command | None:
            return None if page[0] == b"0" else ask(page[0])

        async for _, page in pages(pix.hub.line(pix.hub.place(key)), ask(b"0"), following):
            pairs = zip(page[::2], page[1::2], strict=True)
            found = [(name.decode(), text.decode()) for name, text in pairs if name not in seen]
            seen.update(page[::2])  # a field may come twice while the hash grows
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
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
            return entry.decode()
    known = fields.get(b"end_to_end_id") or fields.get(b"transaction_id") or entry
    return str(known.decode(errors="replace"))


async def _returns(pix: Pix, returned: Counter[str]) -> list[Finding]:
    paid = {record.id: record.cents for record in await read_records(pix, list(returned))}
    findings = []
    for original, cents in returned.items():
        counted = int(await pix.read.hget(pix.keys.returned(original), "cents") or 0)
        if counted < cents or cents > paid.get(original, cents):
            findings.append(
                Finding("over_returned", original, f"{decimal(cents)} given back, {decimal(counted)} counted")
            )
    return findings
