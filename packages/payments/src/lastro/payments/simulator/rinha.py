"""The challenge's official load, played by ourselves: its stages, its checks, its score.

Closed model: each virtual user pays, then rests a second; users are added evenly over the whole run. They are k6's, or
tasks of this loop; all else is the same for both. Every ten seconds our summary is compared with both processors'. A
second after the last payment the books are closed, and the audit compares every payment (reference: the official load
profile and its scoring). As there, the p99 is that of all requests, of those to the processors' admin calls and of the
summaries, too.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal
from uuid import uuid4

from lastro.core.clock import iso, now_ms
from lastro.core.errors import LastroError
from lastro.payments.engine.http import Answer, Cut, HttpClient, NotConnected

from . import k6

Profile = Literal["preview", "final"]
Weather = tuple[int, bool, int, bool]
"""Delay in ms and failure of the default, then of the fallback."""

CALL_SECONDS = 1.5
CHECK_SECONDS = 10.0
WINDOW_SECONDS = 15.0
DRAIN_SECONDS = 1.0
STILL_SECONDS = 0.5
RECOVERY_SECONDS = 2.0
FINE = Decimal("0.35")
OK = {200, 201, 202, 204}
TOKEN = b"X-Rinha-Token: 123\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One form of the official test."""

    seconds: float
    users: int
    amount: bytes
    lag_seconds: float
    """How far before now a check's window ends."""
    fees: tuple[Decimal, Decimal]
    best: Decimal
    """What is left of a payment with the best routing, at full scale and speed 1 (reference: theoretical maximum)."""
    stages: tuple[tuple[float, Weather], ...]


SCRIPTS: dict[Profile, Script] = {
    "preview": Script(
        seconds=60,
        users=550,
        amount=b"19.90",
        lag_seconds=1.5,
        fees=(Decimal("0.05"), Decimal("0.15")),
        best=Decimal("19.90") * Decimal("0.95"),  # all by the default
        stages=(
            (1, (0, False, 0, False)),
            (10, (100, False, 0, False)),
            (20, (100, True, 0, False)),
            (30, (2000, True, 1000, True)),
            (40, (20, False, 20, False)),
            (50, (0, False, 5000, False)),
        ),
    ),
    "final": Script(
        seconds=300,
        users=603,
        amount=b"20.05",
        lag_seconds=2.0,
        fees=(Decimal("0.07"), Decimal("0.10")),
        best=Decimal(1_679_035) / 90_600,  # the fallback in the last 30 s alone
        stages=(
            (1, (0, False, 0, False)),
            (30, (1000, False, 0, False)),
            (60, (500, False, 0, False)),
            (90, (2000, True, 1000, False)),
            (120, (5000, True, 5, False)),
            (150, (0, False, 5, True)),
            (180, (100, False, 5, False)),
            (210, (50, False, 0, False)),
            (240, (103, False, 10, False)),
            (270, (2000, False, 0, False)),
        ),
    ),
}


@dataclass(slots=True, kw_only=True)
class Result:
    """What the test would have said, and what the audit found beside it."""

    accepted: int = 0
    failed: int = 0
    processed: dict[str, int] = field(default_factory=dict)
    doubled: int = 0
    inconsistent: int = 0
    checks: int = 0
    differing: int = 0
    """Payments whose record here and there is not the same."""
    p50_ms: float = 0
    p99_ms: float = 0
    liquid: Decimal = Decimal(0)
    share: Decimal = Decimal(0)
    """The liquid amount beside what the best routing would have left of as many payments as were accepted."""
    score: Decimal = Decimal(0)

    @property
    def lag(self) -> int:
        """Accepted and not charged when the books were closed; negative: charged twice."""
        return self.accepted - sum(self.processed.values())

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled, different or refused."""
        return not (self.lag or self.doubled or self.inconsistent or self.differing or self.failed)


class NothingThere(LastroError):
    """Nothing answers at {url}: start the service and both processors (`lastro payments processor`) first."""

    code = "payments.nothing_there"
    status = 503


class Play:
    """One run against a backend and its two processors."""

    def __init__(
        self,
        profile: Profile,
        backend: str,
        processors: tuple[str, str],
        *,
        scale: float,
        speed: float,
        key: str = "",
        program: str | None = None,
    ) -> None:
        """``program`` is k6's; without it the users are ours."""
        self.program = program
        self.script = SCRIPTS[profile]
        self.speed = speed
        self.seconds = self.script.seconds / speed
        self.users = max(1, round(self.script.users * scale))
        self.backend = HttpClient(backend, CALL_SECONDS, CALL_SECONDS, key)
        self.processors = [HttpClient(url, CALL_SECONDS, CALL_SECONDS) for url in processors]
        self.latencies: list[float] = []
        self.accepted: set[str] = set()
        self.unanswered: set[str] = set()
        """Sent, and nobody knows: a killed process may have taken them."""
        self.result = Result()
        self.until = 0.0

    async def run(self, progress: Callable[[float], None]) -> Result:
        """Play it; ``progress`` hears the share that is done."""
        client = self.backend
        try:
            for client in self.processors:
                await self._admin(client, b"POST /admin/purge-payments")
            await self._asked(client := self.backend, b"POST /purge-payments")
            await self._set(self.script.stages[0][1])  # a run before this one leaves its last stage in force
        except (NotConnected, Cut):
            self._close()
            raise NothingThere(url=client.url) from None
        try:
            async with self._crowd() as told:
                await self._play(told, progress)
        except BaseException:
            self._close()
            raise
        await rest(DRAIN_SECONDS)
        await self.audit()
        progress(1)
        return self.result

    async def _play(self, told: AsyncIterator[k6.Paid] | None, progress: Callable[[float], None]) -> None:
        started = time.monotonic()
        self.until = started + self.seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stages(started))
            tasks.create_task(self._checks())
            if told is not None:
                tasks.create_task(self._listen(told))
            else:
                for user in range(self.users):
                    tasks.create_task(self._user(started + self.seconds * user / self.users))
            while (now := time.monotonic()) < self.until:
                progress((now - started) / self.seconds)
                await asyncio.sleep(0.25)

    def _crowd(self) -> AbstractAsyncContextManager[AsyncIterator[k6.Paid] | None]:
        """k6, its users made and none of them at work; nothing where the users are ours."""
        if self.program is None:
            return nullcontext()
        numbers = {
            "URL": self.backend.url.rstrip("/"),
            "KEY": self.backend.key,
            "AMOUNT": self.script.amount.decode(),
            "USERS": str(self.users),
            "LOAD_MS": str(round(self.seconds * 1000)),
            "CALL_MS": str(round(self.backend.answer_seconds * 1000)),
        }
        return k6.crowd(self.program, numbers)

    async def _listen(self, told: AsyncIterator[k6.Paid]) -> None:
        async for paid in told:
            self._paid(paid.correlation_id, paid.status, paid.seconds)

    async def _user(self, start: float) -> None:
        await asyncio.sleep(start - time.monotonic())
        while time.monotonic() < self.until:
            id_ = str(uuid4())
            body = b'{"correlationId":"%s","amount":%s}' % (id_.encode(), self.script.amount)
            began = time.monotonic()
            try:
                status = (await self.backend.ask(b"POST /payments", body)).status
            except (NotConnected, Cut):
                status = 0
            self._paid(id_, status, time.monotonic() - began)
            await asyncio.sleep(1)

    def _paid(self, id_: str, status: int, seconds: float) -> None:
        if status in OK:
            self.accepted.add(id_)
            self.result.accepted += 1
            self.latencies.append(seconds)
        else:
            self.result.failed += 1
            self.unanswered.add(id_)

    async def _stages(self, started: float) -> None:
        for at, weather in self.script.stages:
            await asyncio.sleep(started + at / self.speed - time.monotonic())
            await self._set(weather)

    async def _set(self, weather: Weather) -> None:
        d_delay, d_fails, f_delay, f_fails = weather
        for client, delay, fails in zip(self.processors, (d_delay, f_delay), (d_fails, f_fails), strict=True):
            await self._admin(client, b"PUT /admin/configurations/delay", {"delay": delay})
            await self._admin(client, b"PUT /admin/configurations/failure", {"failure": fails})

    async def _checks(self) -> None:
        while time.monotonic() + CHECK_SECONDS < self.until:
            await rest(CHECK_SECONDS)
            now = now_ms()
            window = (
                f"?from={iso(now - int(WINDOW_SECONDS * 1000))}&to={iso(now - int(self.script.lag_seconds * 1000))}"
            )
            ours, *theirs = await asyncio.gather(
                self._summary(self.backend, f"/payments-summary{window}"),
                *(self._admin(client, f"GET /admin/payments-summary{window}".encode()) for client in self.processors),
            )
            self.result.checks += 1
            for name, their in zip(("default", "fallback"), theirs, strict=True):
                told = ours[name]["totalRequests"] if ours else 0
                self.result.inconsistent += abs(told - their["totalRequests"])

    async def _summary(self, client: HttpClient, path: str) -> dict[str, Any]:
        try:
            answer = await self._asked(client, f"GET {path}".encode())
        except (NotConnected, Cut):
            return {}
        if answer.status not in OK:
            return {}  # as the official check reads a summary that fails: zeros
        return dict(json.loads(answer.body, parse_float=Decimal))

    async def _admin(self, client: HttpClient, what: bytes, body: dict[str, Any] | None = None) -> Any:
        packed = json.dumps(body).encode() if body is not None else b""
        answer = await self._asked(client, what, packed, TOKEN)
        return json.loads(answer.body, parse_float=Decimal) if answer.body else None

    async def _asked(self, client: HttpClient, what: bytes, body: bytes = b"", headers: bytes = b"") -> Answer:
        """A request of the official test that is no payment: it counts in its p99 as one does."""
        began = time.monotonic()
        answer = await client.ask(what, body, headers)
        if answer.status in OK:
            self.latencies.append(time.monotonic() - began)
        return answer

    async def audit(self) -> Result:
        """The score, from the processors' books; and payment by payment what differs. May be asked again later."""
        result = self.result
        result.differing = 0
        charged: Counter[str] = Counter()
        gross, fees = Decimal(0), Decimal(0)
        ours = await self._summary(self.backend, "/payments-summary")
        for name, client, fee in zip(("default", "fallback"), self.processors, self.script.fees, strict=True):
            told = await self._admin(client, b"GET /admin/payments-summary")
            journal = json.loads((await client.ask(b"GET /admin/journal", b"", TOKEN)).body)  # ours alone: not timed
            taken = {id_ for method, status, id_, *_ in journal if (method, status) == ("POST", 200)}
            charged.update(taken)
            result.processed[name] = told["totalRequests"]
            gross += Decimal(told["totalAmount"])
            fees += Decimal(told["totalAmount"]) * fee
            same = ours and ours[name]["totalRequests"] == told["totalRequests"]
            same = same and Decimal(ours[name]["totalAmount"]) == Decimal(told["totalAmount"])
            result.differing += 0 if same else 1
        result.doubled = sum(1 for count in charged.values() if count > 1)
        result.differing += len(self.accepted - set(charged)) + len(set(charged) - self.accepted - self.unanswered)
        ordered = sorted(self.latencies) or [0.0]
        result.p50_ms = round(ordered[len(ordered) // 2] * 1000, 2)
        result.p99_ms = round(ordered[int(len(ordered) * 0.99)] * 1000, 2)
        result.liquid = gross - fees
        result.share = result.liquid / (self.script.best * max(1, result.accepted))
        bonus = max(round((11 - Decimal(str(result.p99_ms))) * Decimal("0.02"), 2), Decimal(0))
        fine = FINE if result.inconsistent else Decimal(0)
        result.score = result.liquid * (1 + bonus - fine)
        self._close()
        return result

    def _close(self) -> None:
        for client in (self.backend, *self.processors):
            client.close()


async def rest(seconds: float) -> None:
    """Sleep for so long; more while that ends late: where the machine stood still, nobody got anything done."""
    late = STILL_SECONDS
    while late >= STILL_SECONDS:
        due = time.monotonic() + seconds
        await asyncio.sleep(seconds)
        late, seconds = time.monotonic() - due, RECOVERY_SECONDS
