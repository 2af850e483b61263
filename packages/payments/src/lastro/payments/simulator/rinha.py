"""The challenge's official load, played by ourselves: its stages, its checks, its score.

Closed model: each virtual user pays, then rests a second; users are added evenly over the whole run. Every ten seconds
our summary is compared with both processors'. A second after the last payment the books are closed, and the audit
compares every payment (reference: the official load profile and its scoring).
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal
from uuid import uuid4

from lastro.core.clock import iso, now_ms
from lastro.core.errors import LastroError
from lastro.payments.engine.http import Cut, HttpClient, NotConnected

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One form of the official test."""

    seconds: float
    users: int
    amount: bytes
    lag_seconds: float
    """How far before now a check's window ends."""
    fees: tuple[Decimal, Decimal]
    stages: tuple[tuple[float, Weather], ...]


SCRIPTS: dict[Profile, Script] = {
    "preview": Script(
        seconds=60,
        users=550,
        amount=b"19.90",
        lag_seconds=1.5,
        fees=(Decimal("0.05"), Decimal("0.15")),
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
    ) -> None:
        self.script = SCRIPTS[profile]
        self.speed = speed
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
            await (client := self.backend).ask(b"POST /purge-payments")
        except (NotConnected, Cut):
            self._close()
            raise NothingThere(url=client.url) from None
        started = time.monotonic()
        seconds = self.script.seconds / self.speed
        self.until = started + seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stages(started))
            tasks.create_task(self._checks())
            for user in range(self.users):
                tasks.create_task(self._user(started + seconds * user / self.users))
            while (now := time.monotonic()) < self.until:
                progress((now - started) / seconds)
                await asyncio.sleep(0.25)
        await rest(DRAIN_SECONDS)
        await self.audit()
        progress(1)
        return self.result

    async def _user(self, start: float) -> None:
        await asyncio.sleep(start - time.monotonic())
        while time.monotonic() < self.until:
            id_ = str(uuid4())
            body = b'{"correlationId":"%s","amount":%s}' % (id_.encode(), self.script.amount)
            if await self._measured(b"POST /payments", body) in OK:
                self.accepted.add(id_)
                self.result.accepted += 1
            else:
                self.result.failed += 1
                self.unanswered.add(id_)
            await asyncio.sleep(1)

    async def _measured(self, what: bytes, body: bytes = b"") -> int:
        began = time.monotonic()
        try:
            answer = await self.backend.ask(what, body)
        except (NotConnected, Cut):
            return 0
        if answer.status in OK:
            self.latencies.append(time.monotonic() - began)
        return answer.status

    async def _stages(self, started: float) -> None:
        for at, (d_delay, d_fails, f_delay, f_fails) in self.script.stages:
            await asyncio.sleep(started + at / self.speed - time.monotonic())
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
            answer = await client.ask(f"GET {path}".encode())
        except (NotConnected, Cut):
            return {}
        if answer.status not in OK:
            return {}  # as the official check reads a summary that fails: zeros
        return dict(json.loads(answer.body, parse_float=Decimal))

    async def _admin(self, client: HttpClient, what: bytes, body: dict[str, Any] | None = None) -> Any:
        packed = json.dumps(body).encode() if body is not None else b""
        answer = await client.ask(what, packed, b"X-Rinha-Token: 123\r\n")
        return json.loads(answer.body, parse_float=Decimal) if answer.body else None

    async def audit(self) -> Result:
        """The score, from the processors' books; and payment by payment what differs. May be asked again later."""
        result = self.result
        result.differing = 0
        charged: Counter[str] = Counter()
        gross, fees = Decimal(0), Decimal(0)
        ours = await self._summary(self.backend, "/payments-summary")
        for name, client, fee in zip(("default", "fallback"), self.processors, self.script.fees, strict=True):
            told = await self._admin(client, b"GET /admin/payments-summary")
            taken = {id_ for id_, _, _, status in await self._admin(client, b"GET /admin/journal") if status == 200}  # noqa: PLR2004
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
