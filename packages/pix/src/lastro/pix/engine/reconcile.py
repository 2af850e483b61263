"""Proof that it all adds up: records, messages, balances, holds, counters and streams, each against the others.

What is wrong is named by its EndToEndId where one is concerned, by its participant or counter where none is.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from lastro.core.errors import Fault
from lastro.core.keys import Key
from lastro.core.money import decimal
from lastro.pix.model.record import Record

from .accounts import accounts
from .pix import Pix

PAGE = 1_000
TRIES = 3
Kind = Literal[
    "missing_response",
    "extra_response",
    "wrong_amount",
    "orphan_hold",
    "stuck_pending",
    "skewed_counter",
    "wrong_balance",
    "over_returned",
]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that does not add up, and where."""

    kind: Kind
    id: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}: {self.detail}"


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


Told = tuple[str, str, str]  # backend, id, what: the place of a message
Said = dict[Told, list[int]]


async def reconcile(pix: Pix, told: Callable[[int, int], None] = lambda _done, _total: None) -> Report:
    """Look at everything. Under traffic only what is wrong in two looks is a finding; sums wait for a quiet one.

    ``told`` hears how many records were read, and at most how many there are.
    """
    report = await _look(pix, told)
    before = report.findings
    for _ in range(TRIES - 1):
        if report.sums_checked and not before:
            break
        report = await _look(pix, told)
        found, report.findings = report.findings, sorted(set(before) & set(report.findings))
        before = found
    return report


async def _look(pix: Pix, told: Callable[[int, int], None]) -> Report:
    before = await _stamp(pix)
    report, sums = Report(), _Sums()
    now = await pix.now_ms()
    lines: list[Record] = []
    at_most = int(await pix.read.hget(pix.keys.counters, "accepted") or 0)
    async for record in _records(pix):
        lines.append(record)
        if len(lines) % PAGE == 0:
            told(len(lines), max(at_most, len(lines)))
    report.records = len(lines)
    told(report.records, report.records)
    said = await _messages(pix)
    report.messages = sum(map(len, said.values()))
    fresh_ms = now - pix.settings.retention_ms + 1_000
    expected = _expected(pix, lines, sums)
    final_ms = {record.id: record.final_ms or record.received_ms for record in lines}
    report.findings += _compare(expected, said, fresh_ms, final_ms)
    report.findings += await _holds(pix, lines)
    report.findings += await _stuck(pix)
    report.findings += await _returns(pix, lines, sums)
    differences = [*await _balances(pix, sums), *await _counters(pix, sums)]
    report.sums_checked = before == await _stamp(pix)
    if report.sums_checked:
        report.findings += differences
    report.findings.sort()
    return report


async def _stamp(pix: Pix) -> Any:
    """Changes whenever money does."""
    return await pix.read.hgetall(pix.keys.counters), await pix.read.hgetall(pix.keys.accounts)


async def _records(pix: Pix) -> AsyncIterator[Record]:
    for minute in await pix.read.zrange(pix.keys.minutes, 0, -1):
        async for name, line in pix.read.hscan_iter(pix.keys.records(minute.decode()), count=PAGE):
            if name:
                yield Record.parse(name.decode(), line.decode())


async def _messages(pix: Pix) -> Said:
    said: Said = {}
    for outbox in await pix.read.smembers(pix.keys.backends):
        backend = pix.keys.backend_of(outbox.decode())
        after = "-"
        while page := await pix.read.xrange(outbox, min=after, count=PAGE):
            for _, fields in page:
                place, cents = _place(backend, fields)
                said.setdefault(place, []).append(cents)
            after = f"({page[-1][0].decode()}"
    return said


def _place(backend: str, fields: dict[bytes, bytes]) -> tuple[Told, int]:
    if b"transaction_id" in fields:
        whole, _, part = fields[b"processed_amount"].decode().partition(".")
        cents = int(whole or 0) * 100 + int(part.ljust(2, "0") or 0)
        return (backend, fields[b"transaction_id"].decode(), "confirmed"), cents
    what = fields[b"status"].decode() if fields[b"message"] == b"pacs.002" else fields[b"message"].decode()
    return (backend, fields[b"id"].decode(), what), int(fields[b"amount_cents"])


def _expected(pix: Pix, lines: list[Record], sums: _Sums) -> dict[Told, list[tuple[str, int]]]:
    """Place → the id and centavos of each message that must be there."""
    expected: dict[Told, list[tuple[str, int]]] = {}
    for record in lines:
        if not record.archived:
            _add(sums, record)
        for place in _due(record, told=pix.settings.mode == "stream"):
            expected.setdefault(place, []).append((record.id, record.cents))
    return expected


def _add(sums: _Sums, record: Record) -> None:
    if record.letter == "A":
        sums.held[record.payer] += record.cents
    if record.state != "SETTLED":
        return
    if not record.is_original:
        sums.paid_out[record.payer] += record.cents
        sums.paid_in[record.payee] += record.cents
    if record.is_return:
        sums.returned[record.by] += record.cents
    else:
        sums.count += 1
        sums.cents += record.cents


def _due(record: Record, *, told: bool) -> list[Told]:
    if record.is_original:
        return [(record.payee, record.id.partition("@")[0], "confirmed")] if told else []
    if record.is_return:
        return [(record.payer, record.id, "ACSC"), (record.payee, record.id, "pacs.004")]
    asked = (record.payee, record.id, "pacs.008")
    match record.letter.upper():
        case "S":
            return [asked, (record.payer, record.id, "ACSC"), (record.payee, record.id, "ACCC")]
        case "A":
            return [asked]
        case "R" if record.by == "spi":
            return [] if record.code == "RC09" else [(record.payer, record.id, "RJCT")]
        case _:
            return [asked, (record.payer, record.id, "RJCT"), (record.payee, record.id, "RJCT")]


def _compare(
    expected: dict[Told, list[tuple[str, int]]], said: Said, fresh_ms: int, final_ms: dict[str, int]
) -> list[Finding]:
    findings: list[Finding] = []
    for place, wanted in expected.items():
        backend, _, what = place
        found = Counter(said.pop(place, []))
        unmatched = []
        for payment_id, cents in wanted:
            if found[cents] > 0:
                found[cents] -= 1
            else:
                unmatched.append((payment_id, cents))
        left = list(found.elements())
        for payment_id, cents in unmatched:
            if left:
                detail = f"{what} to {backend} says {decimal(left.pop())}, the record {decimal(cents)}"
                findings.append(Finding("wrong_amount", payment_id, detail))
            elif final_ms[payment_id] > fresh_ms:
                findings.append(Finding("missing_response", payment_id, f"no {what} for {backend}"))
        for cents in left:
            detail = f"one {what} of {decimal(cents)} too many for {backend}"
            findings.append(Finding("extra_response", wanted[0][0], detail))
    for (backend, payment_id, what), sizes in said.items():
        findings.append(
            Finding("extra_response", payment_id, f"{len(sizes)} {what} for {backend}, and no such payment")
        )
    return findings


async def _holds(pix: Pix, lines: list[Record]) -> list[Finding]:
    """Every hold ends: its payment is on the wheel of deadlines, which any worker sweeps."""
    members = await pix.read.zrange(pix.keys.deadlines, 0, -1)
    swept = {name for member in members for name in member.decode().split(" ")}
    return [
        Finding("orphan_hold", record.id, "its funds are held and no deadline will free them")
        for record in lines
        if record.letter == "A" and record.id not in swept
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


async def _returns(pix: Pix, lines: list[Record], sums: _Sums) -> list[Finding]:
    paid = {record.id: record.cents for record in lines}
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
    should = (sums.count + int(archived[0] or 0), sums.cents + int(archived[1] or 0))
    text = (amount or b"0.00").decode()
    findings = []
    for key, has, wanted in (
        (keys.count, str(int(count or 0)), str(should[0])),
        (keys.cents, str(int(cents or 0)), str(should[1])),
        (keys.amount, text, decimal(should[1])),
    ):
        if has != wanted:
            findings.append(Finding("skewed_counter", str(key), f"is {has} and should be {wanted}"))
    return findings
