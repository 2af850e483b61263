"""Messages against records: what every payment must have told is there, once, with its amount.

Also while traffic runs: what happened before the look began must be there; what happens meanwhile may be.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lastro.core.money import decimal
from lastro.pix.model.record import Record

from .findings import Finding
from .pix import Pix

PAGE = 2_000
SOON_MS = 20  # under traffic: so close to the beginning of the look a message may be there or not
AHEAD_MS = 1_000
TRIM_MS = 1_000  # and so close to the end of its retention
Place: TypeAlias = tuple[str, str, str]  # backend, id, what
Told: TypeAlias = Callable[[int, int], None]


@dataclass(slots=True)
class Responses:
    """What is expected and was not found, by a hash of place and amount: a million payments have three million."""

    pix: Pix
    cut_ms: int
    """When the look began."""
    must: dict[int, int] = field(default_factory=dict)
    soon: dict[int, int] = field(default_factory=dict)
    """What happened while the look went on, or right before."""
    may: dict[int, int] = field(default_factory=dict)
    extra: set[int] = field(default_factory=set)
    extra_soon: set[int] = field(default_factory=set)
    messages: int = 0

    def expect(self, record: Record) -> None:
        """Note what a payment must have told."""
        fresh, soon = self.cut_ms - self.pix.settings.retention_ms + TRIM_MS, self.cut_ms - SOON_MS
        for place, at_ms in _due(record, told=self.pix.settings.mode == "stream"):
            key = hash((place, record.cents))
            among = self.may if at_ms <= fresh else self.must if at_ms < soon else self.soon
            among[key] = among.get(key, 0) + 1

    async def hear(self) -> None:
        """Cross off what was told."""
        must, soon_ms = self.must, self.cut_ms - SOON_MS
        async for page in _messages(self.pix, self.cut_ms):
            self.messages += len(page)
            for place, cents, at_ms in page:
                key = hash((place, cents))
                among = must if key in must else self.soon if key in self.soon else self.may
                left = among.get(key, 0)
                if left > 1:
                    among[key] = left - 1
                elif left:
                    del among[key]
                else:
                    (self.extra if at_ms < soon_ms else self.extra_soon).add(key)

    async def findings(self, records: Callable[[], AsyncIterator[Record]], *, quiet: bool) -> list[Finding]:
        """What is left over, by name: everything is read again for that, and once more for its neighbours."""
        wrong, told = self.must.keys() | self.extra, self.pix.settings.mode == "stream"
        if quiet:  # nothing happened meanwhile
            wrong |= self.soon.keys() | self.extra_soon
        if not wrong:
            return []
        places: set[Place] = set()
        async for record in records():
            places |= {place for place, _ in _due(record, told=told) if hash((place, record.cents)) in wrong}
        async for page in _messages(self.pix, self.cut_ms):
            places |= {place for place, cents, _ in page if hash((place, cents)) in wrong}
        expected: dict[Place, list[tuple[str, int]]] = {}
        async for record in records():
            for place, _ in _due(record, told=told):
                if place in places:
                    expected.setdefault(place, []).append((record.id, record.cents))
        said: dict[Place, list[int]] = {}
        async for page in _messages(self.pix, self.cut_ms):
            for place, cents, _ in page:
                if place in places:
                    said.setdefault(place, []).append(cents)
        return _compare(expected, said)


async def _messages(pix: Pix, cut_ms: int) -> AsyncIterator[list[tuple[Place, int, int]]]:
    """Every message told before the look began, by pages: its place, its centavos, its ms."""
    for outbox in await pix.read.smembers(pix.keys.backends):
        backend = pix.keys.backend_of(outbox.decode())
        line, after = pix.hub.line(pix.hub.place(outbox.decode())), b"-"
        (newest,) = await line.send([("XREVRANGE", outbox, "+", "-", "COUNT", 1)])
        until: Any = cut_ms
        if newest and int(newest[0][0].partition(b"-")[0]) > cut_ms + AHEAD_MS:
            until = newest[0][0]  # the server's clock was ahead: ids of a stream never go back with it
        while True:
            (page,) = await line.send([("XRANGE", outbox, after, until, "COUNT", PAGE)])
            yield [(*_place(backend, flat), int(entry.partition(b"-")[0])) for entry, flat in page]
            if len(page) < PAGE:
                break
            after = b"(" + page[-1][0]


def _place(backend: str, flat: list[bytes]) -> tuple[Place, int]:
    """From an entry's fields and values, whose order the scripts keep."""
    if flat[0] == b"transaction_id":
        whole, _, part = flat[5].decode().partition(".")
        return (backend, flat[1].decode(), "confirmed"), int(whole or 0) * 100 + int(part.ljust(2, "0") or 0)
    what = flat[5] if flat[1] == b"pacs.002" else flat[1]
    return (backend, flat[3].decode(), what.decode()), int(flat[9])


def _due(record: Record, *, told: bool) -> Iterator[tuple[Place, int]]:
    """What a record's payment must have told, and when."""
    last_ms = record.final_ms or record.received_ms
    if record.is_original:
        if told:
            yield (record.payee, record.id.partition("@")[0], "confirmed"), last_ms
    elif record.is_return:
        yield (record.payer, record.id, "ACSC"), last_ms
        yield (record.payee, record.id, "pacs.004"), last_ms
    elif record.letter in "Rr" and record.by == "spi":
        if record.code != "RC09":
            yield (record.payer, record.id, "RJCT"), last_ms
    else:
        yield (record.payee, record.id, "pacs.008"), record.accepted_ms or last_ms
        if record.letter != "A":
            settled = record.letter in "Ss"
            yield (record.payer, record.id, "ACSC" if settled else "RJCT"), last_ms
            yield (record.payee, record.id, "ACCC" if settled else "RJCT"), last_ms


def _compare(expected: dict[Place, list[tuple[str, int]]], said: dict[Place, list[int]]) -> list[Finding]:
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
            else:
                findings.append(Finding("missing_response", payment_id, f"no {what} for {backend}"))
        for cents in left:
            detail = f"one {what} of {decimal(cents)} too many for {backend}"
            findings.append(Finding("extra_response", wanted[0][0], detail))
    for (backend, payment_id, what), sizes in said.items():
        findings.append(
            Finding("extra_response", payment_id, f"{len(sizes)} {what} for {backend}, and no such payment")
        )
    return findings
