"""Virtual participants: they pay, they answer or refuse or stay silent, they repeat themselves, they crash."""

import asyncio
import heapq
import math
import random
import string
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from redis.exceptions import MovedError, ResponseError

from lastro.core.errors import Busy
from lastro.core.money import decimal
from lastro.core.redis.connections import Command
from lastro.core.redis.failures import ours
from lastro.core.scripts import insist
from lastro.pix.engine import accounts
from lastro.pix.engine.pix import Pix
from lastro.pix.model.ids import make_end_to_end_id
from lastro.pix.model.payment import Answer, Payment

FLUSH_SECONDS = 0.005
READ_COUNT = 500
READ_BLOCK_MS = 200
WRITE_MAX = 250
FUNDS_CENTS = 10**14
OPEN_SECONDS = 60.0
ALPHABET = string.digits + string.ascii_letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How participants behave; shares are of one, times lognormal by their median and 95 % point."""

    answer_p50_s: float = 0.05
    answer_p95_s: float = 0.2
    rejects: dict[str, float] = field(default_factory=dict)
    """code → share of payments refused with it"""
    silence: float = 0.0
    duplicates: float = 0.0
    """share of payments, and of answers, sent twice"""
    crash_every_s: float = 0.0
    """a receiver forgets what it was about to answer, and reads again from where it last answered"""

    def answer_s(self, chance: random.Random) -> float:
        """How long this receiver thinks."""
        if self.answer_p50_s <= 0:
            return 0.0
        sigma = math.log(max(self.answer_p95_s / self.answer_p50_s, 1.0)) / 1.645
        return chance.lognormvariate(math.log(self.answer_p50_s), sigma)

    def reject_code(self, chance: random.Random) -> str:
        """The code it refuses with; empty when it accepts."""
        roll = chance.random()
        for code, share in self.rejects.items():
            roll -= share
            if roll < 0:
                return code
        return ""


@dataclass(slots=True)
class Seen:
    """What the participants saw."""

    sent: int = 0
    repeated: int = 0
    asked: int = 0
    answered: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """status or reject code → payments, as the payer heard it"""
    latency_s: list[float] = field(default_factory=list)
    """from when a payment should have been sent to when its payer heard"""
    consumed_s: list[float] = field(default_factory=list)
    """from when an answer lay in the outbox to when it was read"""
    answer_s: list[float] = field(default_factory=list)
    """from when a receiver was asked to when its answer was sent"""


@dataclass(slots=True)
class World:
    """All virtual participants of one process: one reader, one writer, any number of banks."""

    pix: Pix
    banks: list[str]
    manners: Manners = field(default_factory=Manners)
    chance: random.Random = field(default_factory=random.Random)
    seen: Seen = field(default_factory=Seen)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _due: list[tuple[float, float, str, bytes]] = field(default_factory=list)
    _begun: dict[str, float] = field(default_factory=dict)
    _after: dict[Any, Any] = field(default_factory=dict)

    async def open(self) -> None:
        """Every bank gets an account and money, and reads from here on; safe to repeat."""
        for bank in self.banks:
            self._after[self.pix.keys.outbox(bank)] = await self._end(bank)
            funding = partial(accounts.fund, self.pix, bank, FUNDS_CENTS, "simulator")
            await insist(funding, within_seconds=OPEN_SECONDS)

    def order(self, amount_cents: int | None = None, payer: str = "") -> Payment:
        """A payment between two banks by chance, or from this one."""
        payer = payer or self.chance.choice(self.banks)
        payee = self.chance.choice([bank for bank in self.banks if bank != payer])
        size = amount_cents or self.chance.randint(100, 100_000)
        tail = "".join(self.chance.choices(ALPHABET, k=11))
        return Payment(
            end_to_end_id=make_end_to_end_id(payer, datetime.now(UTC), tail),
            payer=payer,
            payee=payee,
            amount=decimal(size),
            local_instrument="DICT",
            key="+5511999999999",
        )

    async def pay(self, count: int, per_second: float) -> None:
        """Send so many payments, each at its own time whatever the engine does (open loop); 0 is at full speed."""
        begun = time.monotonic()
        sent = 0
        while sent < count and not self.stopping.is_set():
            now = time.monotonic()
            due = count if per_second <= 0 else min(count, math.ceil((now - begun) * per_second))
            batch = min(due - sent, WRITE_MAX)
            if batch > 0:
                planned = [begun + (sent + at) / per_second if per_second > 0 else now for at in range(batch)]
                await self._send([(self.order(), at) for at in planned])
                sent += batch
            if sent >= due:
                await asyncio.sleep(FLUSH_SECONDS)

    def expect(self, orders: list[tuple[Payment, float]]) -> None:
        """These are sent, each planned for its time; their payers will hear."""
        self._begun.update((order.end_to_end_id, planned) for order, planned in orders)
        self.seen.sent += len(orders)

    async def _send(self, orders: list[tuple[Payment, float]]) -> None:
        self.expect(orders)
        bodies = []
        for order, _ in orders:
            body = msgspec.json.encode(order)
            bodies.append(body)
            if self.chance.random() < self.manners.duplicates:
                bodies.append(body)
                self.seen.repeated += 1
        await self._write([("XADD", self.pix.keys.payments, "*", "payment", body) for body in bodies])

    async def _write(self, commands: Sequence[Command]) -> None:
        hub = self.pix.hub
        while commands:
            with suppress(Busy):  # the same ids again: the engine knows them
                replies = await hub.line(hub.place(self.pix.keys.payments)).send(commands)
                for reply in replies:
                    if isinstance(reply, MovedError):
                        await hub.moved(reply)
                commands = [
                    command for command, reply in zip(commands, replies, strict=True) if _refused_for_now(reply)
                ]
            if commands:
                await asyncio.sleep(0.2)

    async def receive(self) -> None:
        """Read every bank's outbox, note what payers hear, answer what receivers are asked; until told to stop."""
        answering = asyncio.create_task(self._answer())
        client = self.pix.hub.blocking(READ_BLOCK_MS / 1000)
        after = dict(self._after) or {self.pix.keys.outbox(bank): await self._end(bank) for bank in self.banks}
        safe, crash_at = dict(after), time.monotonic() + self.manners.crash_every_s
        while not self.stopping.is_set():
            try:
                found: Any = await client.xread(after, count=READ_COUNT, block=READ_BLOCK_MS)
            except Busy:
                await asyncio.sleep(0.2)
                continue
            for outbox, entries in found:
                key = outbox.decode()
                bank = self.pix.keys.backend_of(key)
                for entry, fields in entries:
                    self._hear(bank, entry, fields)
                after[key] = entries[-1][0].decode()
            if not self._due:
                safe = dict(after)
            if self.manners.crash_every_s and time.monotonic() > crash_at:
                self._due.clear()
                after, crash_at = dict(safe), time.monotonic() + self.manners.crash_every_s
        await answering

    async def _end(self, bank: str) -> str:
        last: Any = await self.pix.read.xrevrange(self.pix.keys.outbox(bank), count=1)
        return last[0][0].decode() if last else "0"

    def _hear(self, bank: str, entry: bytes, fields: dict[bytes, bytes]) -> None:
        now = time.monotonic()
        self.seen.consumed_s.append(max(0.0, time.time() - int(entry.split(b"-")[0]) / 1000))
        payment_id = fields.get(b"id", b"").decode()
        message, status = fields.get(b"message"), fields.get(b"status", b"").decode()
        if message == b"pacs.008":
            self.seen.asked += 1
            self._think(bank, payment_id, now)
        elif message == b"pacs.002" and payment_id[1:9] == bank:
            begun = self._begun.pop(payment_id, None)
            if begun is not None:
                self.seen.latency_s.append(now - begun)
                self.seen.outcomes[fields[b"reason"].decode() or status] += 1

    def _think(self, bank: str, payment_id: str, now: float) -> None:
        if self.chance.random() < self.manners.silence:
            return
        code = self.manners.reject_code(self.chance)
        answer = Answer(end_to_end_id=payment_id, payee=bank, status="RJCT" if code else "ACSP", reason=code)
        body = msgspec.json.encode(answer)
        at = now + self.manners.answer_s(self.chance)
        heapq.heappush(self._due, (at, now, payment_id, body))
        if self.chance.random() < self.manners.duplicates:
            heapq.heappush(self._due, (at + 0.01, now, payment_id, body))

    async def _answer(self) -> None:
        while not self.stopping.is_set():
            now = time.monotonic()
            ready: list[tuple[float, float, str, bytes]] = []
            while self._due and self._due[0][0] <= now and len(ready) < WRITE_MAX:
                ready.append(heapq.heappop(self._due))
            if ready:
                await self._write([("XADD", self.pix.keys.answers, "*", "answer", body) for *_, body in ready])
                done = time.monotonic()
                self.seen.answer_s += [done - asked for _, asked, _, _ in ready]
                self.seen.answered += len(ready)
            if len(ready) < WRITE_MAX:
                await asyncio.sleep(FLUSH_SECONDS)

    async def heard_of_all(self, within_seconds: float) -> bool:
        """Wait until every payer has heard of every payment; False when one has not in time."""
        deadline = time.monotonic() + within_seconds
        while self._begun and time.monotonic() < deadline:  # noqa: ASYNC110 - it is the end of a run, not a hot path
            await asyncio.sleep(FLUSH_SECONDS)
        return not self._begun

    @property
    def waiting(self) -> int:
        """Payments whose payer has not heard."""
        return len(self._begun)


def _refused_for_now(reply: Any) -> bool:
    """Whether it may be asked again, as when memory is full. Raises what is refused for good."""
    if not isinstance(reply, ResponseError):
        return False
    known = ours(reply)
    if not isinstance(known, Busy):
        raise known or reply
    return True


def banks(count: int) -> list[str]:
    """ISPBs that no real institution has."""
    return [f"9999{number:04d}" for number in range(1, count + 1)]


def percentile(values: list[float], share: float) -> float:
    """The value that this share does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def within(values: list[float], limit: float) -> float:
    """The share of values not above the limit; 1 of none."""
    return sum(value <= limit for value in values) / len(values) if values else 1.0
