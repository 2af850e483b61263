"""Messages against records: what every payment must have told is there, once, with its amount.

Also while traffic runs: what happened before the look began must be there; what happens meanwhile may be. A message can
outlive its record, when nobody reads it: of one whose minute is forgotten nothing can be said.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lastro.core.money import decimal
from lastro.core.redis.connections import Command
from lastro.pix.model.ids import minute_of
from lastro.pix.model.record import Record

from .findings import Finding
from .intake import arrived_ms
from .pages import pages
from .pix import HOUR_MS, Pix, forget_at_ms

PAGE = 2_000
SOON_MS = 20  # under traffic: so close to the beginning of the look a message may be there or not
AHEAD_MS = 1_000
TRIM_MS = 1_000  # and so close to the end of its retention
UNREADABLE = "entry that cannot be read"
Message: TypeAlias = tuple[str, str, str, int]  # backend, id, what, centavos
Place: TypeAlias = tuple[str, str, str]  # the same without what it says
Told: TypeAlias = Callable[[int, int], None]
Records: TypeAlias = Callable[[], AsyncIterator[Sequence[Record]]]


@dataclass(slots=True)
class Responses:
    """What is expected and was not found, by the hash of the message: a million payments have three million."""

    pix: Pix
    cut_ms: int
    """When the look began."""
    minutes: AbstractSet[str]
    """Which minutes had records then."""
    must: dict[int, int] = field(default_factory=dict)
    soon: dict[int, int] = field(default_factory=dict)
    """What happened while the look went on, or right before."""
    may: dict[int, int] = field(default_factory=dict)
    extra: set[int] = field(default_factory=set)
    extra_soon: set[int] = field(default_factory=set)
    messages: int = 0

    def expect(self, records: Sequence[Record]) -> None:
        """Note what these payments must have told."""
        fresh, soon = self.cut_ms - self.pix.settings.retention_ms + TRIM_MS, self.cut_ms - SOON_MS
        told = self.pix.settings.mode == "stream"
        for record in records:
            for message, at_ms in _due(record, told=told):
                key = hash(message)
                trimmed = record.archived or at_ms <= fresh  # a mark's time is its id's, which may be hours ahead
                among = self.may if trimmed else self.must if at_ms < soon else self.soon
                among[key] = among.get(key, 0) + 1

    async def hear(self) -> None:
        """Cross off what was told."""
        must, soon, may, soon_ms = self.must, self.soon, self.may, self.cut_ms - SOON_MS
        async for page in _messages(self.pix, self.cut_ms):
            self.messages += len(page)
            for message, entry in page:
                key = hash(message)
                if _crossed_off(key, must) or _crossed_off(key, soon) or _crossed_off(key, may):
                    continue
                told_ms = arrived_ms(entry)
                if not self._forgotten(message, told_ms):
                    (self.extra if told_ms < soon_ms else self.extra_soon).add(key)

    def _forgotten(self, message: Message, told_ms: int) -> bool:
        _, name, what, _ = message
        if what == "confirmed":  # which minute its record is in, an original message's confirmation does not say
            return told_ms < self.cut_ms - self.pix.settings.window_hours * HOUR_MS
        try:
            minute = minute_of(name)
            return minute not in self.minutes and forget_at_ms(minute, self.pix.settings) <= self.cut_ms
        except ValueError:
            return False

    async def findings(self, records: Records, *, quiet: bool) -> list[Finding]:
        """What is left over, by name: everything is read again for that, and once more for its neighbours."""
        wrong, told = self.must.keys() | self.extra, self.pix.settings.mode == "stream"
        if quiet:  # nothing happened meanwhile
            wrong |= self.soon.keys() | self.extra_soon
        if not wrong:
            return []
        places: set[Place] = set()
        async for found in records():
            places |= {due[:3] for record in found for due, _ in _due(record, told=told) if hash(due) in wrong}
        async for page in _messages(self.pix, self.cut_ms):
            places |= {message[:3] for message, _ in page if hash(message) in wrong}
        expected: dict[Place, list[tuple[str, int]]] = {}
        async for found in records():
            for record in found:
                for due, _ in _due(record, told=told):
                    if due[:3] in places:
                        expected.setdefault(due[:3], []).append((record.id, record.cents))
        said: dict[Place, list[int]] = {}
        async for page in _messages(self.pix, self.cut_ms):
            for message, _ in page:
                if message[:3] in places:
                    said.setdefault(message[:3], []).append(message[3])
        return _compare(expected, said)


def _crossed_off(key: int, among: dict[int, int]) -> bool:
    left = among.pop(key, 0)
    if left > 1:
        among[key] = left - 1
    return left > 0


async def _messages(pix: Pix, cut_ms: int) -> AsyncIterator[list[tuple[Message, bytes]]]:
    """Every message told before the look began, by pages, each with the id of its entry."""
    for outbox in await pix.read.smembers(pix.keys.backends):
        backend = pix.keys.backend_of(outbox.decode())
        line = pix.hub.line(pix.hub.place(outbox.decode()))
        (newest,) = await line.send([("XREVRANGE", outbox, "+", "-", "COUNT", 1)])
        until: Any = cut_ms
        if newest and int(newest[0][0].partition(b"-")[0]) > cut_ms + AHEAD_MS:
            until = newest[0][0]  # the server's clock was ahead: ids of a stream never go back with it

        def ask(after: bytes, outbox: bytes = outbox, until: Any = until) -> Command:
            return ("XRANGE", outbox, after, until, "COUNT", PAGE)

        def following(page: Any) -> Command | None:
            return ask(b"(" + page[-1][0]) if len(page) == PAGE else None

        async for page in pages(line, ask(b"-"), following):
            yield [(_message(backend, entry, flat), entry) for entry, flat in page]


def _message(backend: str, entry: bytes, flat: list[bytes]) -> Message:
    """From an entry's fields and values, whose order the scripts keep; what no script wrote is nobody's answer."""
    try:
        return _told(backend, flat)
    except (IndexError, ValueError):
        return backend, entry.decode(), UNREADABLE, 0


def _told(backend: str, flat: list[bytes]) -> Message:
    if flat[0] == b"transaction_id":
        whole, _, part = flat[5].decode().partition(".")
        return backend, flat[1].decode(), "confirmed", int(whole or 0) * 100 + int(part.ljust(2, "0") or 0)
    what = flat[5] if flat[1] == b"pacs.002" else flat[1]
    return backend, flat[3].decode(), what.decode(), int(flat[9])


def _due(record: Record, *, told: bool) -> Iterator[tuple[Message, int]]:
    """What a record's payment must have told, and when."""
    last_ms, cents = record.final_ms or record.received_ms, record.cents
    if record.is_original:
        if told:
            yield (record.payee, record.id.rpartition("@")[0], "confirmed", cents), last_ms
    elif record.is_return:
        yield (record.payer, record.id, "ACSC", cents), last_ms
        yield (record.payee, record.id, "pacs.004", cents), last_ms
    elif record.letter in "Rr" and record.by == "spi":
        if record.code != "RC09":
            yield (record.payer, record.id, "RJCT", cents), last_ms
    else:
        yield (record.payee, record.id, "pacs.008", cents), record.accepted_ms or last_ms
        if record.letter != "A":
            settled = record.letter in "Ss"
            yield (record.payer, record.id, "ACSC" if settled else "RJCT", cents), last_ms
            yield (record.payee, record.id, "ACCC" if settled else "RJCT", cents), last_ms


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
