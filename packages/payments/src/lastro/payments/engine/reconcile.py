"""Whether the records, the books and the totals of payments say the same.

Safe while traffic runs: both are read page by page, and what does not fit is looked at again by itself, at one moment.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from lastro.core.clock import now_ms
from lastro.payments.model import PROCESSORS, Processor, Totals

from . import PAGE_MAX, Payments

Told = Callable[[int, int], None]
LOOKS = 5  # at one payment that keeps changing: it lives
FOUND_MAX = 1_000
SETTLED_MS = 60_000
"""Payments sent longer ago are entered by now: their sums stand still, also while traffic runs."""


@dataclass(slots=True)
class _Sums:
    """What the books say: of everything, and of what was sent before ``until_ms``."""

    until_ms: int
    every: dict[str, list[int]] = field(default_factory=lambda: {name: [0, 0] for name in PROCESSORS})
    settled: dict[str, list[int]] = field(default_factory=lambda: {name: [0, 0] for name in PROCESSORS})

    def add(self, processor: str, cents: int, at_ms: int) -> None:
        for sums in (self.every, self.settled) if at_ms <= self.until_ms else (self.every,):
            sums[processor][0] += 1
            sums[processor][1] += cents


async def reconcile(payments: Payments, told: Told = lambda done, total: None) -> list[str]:
    """A sentence for each payment or total that is wrong; ``told`` hears how many of all records were read."""
    keys, read = payments.keys, payments.hub.read
    total = int(await read.zcard(keys.by_date)) + int(await read.hlen(keys.known))
    sums = _Sums(now_ms() - SETTLED_MS)
    before = await payments.summary(), await payments.summary(None, sums.until_ms)
    suspects, done = await _books(payments, sums, lambda done: told(done, total))
    after = await payments.summary(), await payments.summary(None, sums.until_ms)
    suspects |= {id_: suspects.get(id_, "") for id_ in await _records(payments, lambda more: told(done + more, total))}
    doubled: Any = await read.hgetall(keys.doubled)
    found = [f"{id_.decode()}: charged a second time: {charge.decode()}" for id_, charge in doubled.items()][:FOUND_MAX]
    for id_ in sorted(suspects):
        found += await _at_once(payments, id_, suspects[id_])
        if len(found) >= FOUND_MAX:
            found.append("there may be more: not everything that looked wrong was looked at again")
            break
    for then, now, said in ((before[0], after[0], sums.every), (before[1], after[1], sums.settled)):
        found += _totals(now, said) if then == now else []
    return sorted(set(found))


async def _books(payments: Payments, sums: _Sums, told: Callable[[int], None]) -> tuple[dict[str, str], int]:
    """Id → entry of those in the books whose record does not say the same; and how many were read."""
    keys, read = payments.keys, payments.hub.read
    suspects: dict[str, str] = {}
    last, same, done = "-inf", 0, 0
    while True:
        page: list[Any] = await read.zrangebyscore(
            keys.by_date, last, "+inf", start=same, num=PAGE_MAX, withscores=True, score_cast_func=bytes
        )
        if not page:
            return suspects, done
        entries = [(member.decode(), *member.decode().split("|"), int(float(at))) for member, at in page]
        records: list[Any] = await read.hmget(keys.known, [entry[2] for entry in entries])
        for (member, processor, id_, cents, at), record in zip(entries, records, strict=True):
            sums.add(processor, int(cents), at)
            if record is None or not record.startswith(f"done|{cents}|{processor}|{at}|".encode()):
                suspects[id_] = member
        end = entries[-1][4]
        tail = sum(1 for entry in entries if entry[4] == end)
        last, same = str(end), tail + (same if last == str(end) else 0)
        done += len(page)
        told(done)


async def _records(payments: Payments, told: Callable[[int], None]) -> set[str]:
    """Ids of the records that are not where their state says: in the books, in the queue, with an owner."""
    keys, read = payments.keys, payments.hub.read
    waiting: list[Any] = await read.lrange(keys.queue, 0, -1)
    queued = set(waiting)
    suspects: set[str] = set()
    done = 0
    async for page in payments.hub.hash_pages(keys.known, PAGE_MAX):
        entered: dict[bytes, tuple[bytes, bytes]] = {}
        for id_, record in page.items():
            state, cents, processor, at = record.split(b"|", 4)[:4]
            if state == b"done":
                entered[b"|".join((processor, id_, cents))] = id_, at
            elif state in {b"in_flight", b"dead", b"discarded"} or (state == b"queued" and id_ not in queued):
                suspects.add(id_.decode())  # few, and each is looked at by itself
        scores: list[Any] = await read.zmscore(keys.by_date, cast("list[str]", list(entered))) if entered else []
        for (id_, at), score in zip(entered.values(), scores, strict=True):
            if score is None or int(score) != int(at):
                suspects.add(id_.decode())
        done += len(page)
        told(done)
    return suspects


async def _at_once(payments: Payments, id_: str, entry: str) -> list[str]:
    """What of one payment contradicts itself, at one moment; ``entry`` is what the books were seen to say, or empty."""
    keys = payments.keys
    record: Any = await payments.hub.read.hget(keys.known, id_)
    for _ in range(LOOKS):
        state, cents, processor, at, _, _, note = (record or b"||||||").decode().split("|", 6)
        own, holder = f"{processor}|{id_}|{cents}", note.partition("@")[0] if state == "in_flight" else ""
        async with payments.hub.read.pipeline(transaction=True) as pipe:
            pipe.hget(keys.known, id_)
            pipe.zscore(keys.by_date, own)
            pipe.zscore(keys.by_date, entry)
            pipe.lpos(keys.queue, id_)
            pipe.zscore(keys.dead, id_)
            pipe.sismember(keys.in_flight(holder), id_)
            pipe.hexists(keys.owners, holder)  # else nobody would take it over
            told: Sequence[Any] = await pipe.execute()
        now, entered_at, other_at, place, buried_at, flying, held = told
        if now == record:
            other = other_at is not None and entry != own
            entered = entered_at is not None and (state != "done" or int(entered_at) == int(at))
            where = {
                "queued": place is not None,
                "in_flight": bool(flying and held),
                "dead": buried_at is not None,
                "discarded": buried_at is None,
            }
            wrong = _wrong(state, where, entered=entered, other=other)
            return [f"{id_}: {wrong}{f' ({entry})' if other else ''}"] if wrong else []
        record = now
    return []


NOWHERE = {
    "queued": "queued, but not in the queue",
    "in_flight": "in flight, but with no owner",
    "dead": "dead, but not among the dead",
    "discarded": "discarded, but among the dead",
}


def _wrong(state: str, where: Mapping[str, bool], *, entered: bool, other: bool) -> str | None:
    """What contradicts this state: where the payment is, and whether the books have it, or have it otherwise."""
    match state:
        case "":
            return "in the books of a processor, but not among the records" if other else None
        case "done" if other or not entered:
            return "its record says otherwise than the books" if other else "done, but in nobody's books"
        case "done":
            return None
    if entered or other:
        return f"{state}, but in the books"
    return None if where[state] else NOWHERE[state]


def _totals(told: Mapping[Processor, Totals], said: Mapping[str, list[int]]) -> list[str]:
    return [
        f"totals of {name}: {told[name].requests} payments, {told[name].amount_cents} cents; its books say {said[name]}"
        for name in PROCESSORS
        if [told[name].requests, told[name].amount_cents] != said[name]
    ]
