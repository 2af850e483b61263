"""The outside world: the challenge's payment processor, and clients that pay.

The processor behaves as the reference describes the real one: a concurrency limiter, then the delay, then the failure
flag, then the record; a client that goes away cancels nothing; ids are unique on one processor only. Beyond that it
keeps a journal of every payment that is sent or asked for, and of every call for its health, and has hostile modes:
``PUT /admin/configurations/hostile`` ``{"hostile": mode}``.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Literal, get_args
from urllib.parse import parse_qs
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from lastro.core.clock import iso, now_ms, parse_iso
from lastro.core.errors import Invalid

RUNNING_MAX = 800
QUEUED_MAX = 500
HEALTH_WINDOW_SECONDS = 5.0
HEALTH_QUEUED_MAX = 2
CENT = Decimal("0.01")
Hostile = Literal[
    "", "close_after_record", "fail_after_record", "refuse_after_record", "slow_body", "half_open", "babble", "maze"
]
"""Each after taking the payment. close_after_record: an answer that is cut. fail_after_record: 500 and a body.
refuse_after_record: 403. slow_body: headers, and the body a second later. half_open: the connection stays open, and
nothing comes. babble: what is asked of it is answered with 200 and something that is in no contract. maze: that, nested
deeply."""
SILENT_SECONDS = 3_600.0
MAZE_LEVELS = 5_000


@dataclass(frozen=True, slots=True)
class Call:
    """One line of the journal: a payment that was sent (POST) or asked for (GET), and what the processor made of it.

    Of a hostile one that is not what the caller was told. Id, amount and time are those of the payment: "" and 0 where
    the call had none that could be read, or found none.
    """

    method: Literal["GET", "POST"]
    status: int
    correlation_id: str = ""
    amount_cents: int = 0
    requested_at_ms: int = 0


@dataclass(eq=False)
class Book:
    """The state of one processor."""

    fee: Decimal = Decimal("0.05")
    token: str = "123"  # noqa: S105  # the challenge's published start value
    delay_ms: int = 0
    failing: bool = False
    hostile: Hostile = ""
    payments: dict[str, tuple[int, int]] = field(default_factory=dict)
    """id → (cents, requestedAt in ms)."""
    journal: list[Call] = field(default_factory=list)
    health_calls: list[tuple[int, int]] = field(default_factory=list)
    """When (ms), and from which port."""
    running: int = 0
    queued: deque["asyncio.Future[None]"] = field(default_factory=deque)
    health_used: bool = False
    health_queued: deque["asyncio.Future[None]"] = field(default_factory=deque)
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    async def enter(self) -> bool:
        """A place among the 800 running, at once or after one of the 500 queued; False when both are full."""
        if self.running >= RUNNING_MAX:
            if len(self.queued) >= QUEUED_MAX:
                return False
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.queued.append(turn)
            await turn
        self.running += 1
        return True

    def leave(self) -> None:
        """Give the place to the next."""
        self.running -= 1
        while self.queued:
            turn = self.queued.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def health_turn(self) -> bool:
        """One answer per window; two more callers are held for later windows, the fourth is refused."""
        if not self.health_used:
            self.health_used = True
            self._keep(asyncio.create_task(self._tick()))
            return True
        if len(self.health_queued) >= HEALTH_QUEUED_MAX:
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.health_queued.append(turn)
        await turn
        return True

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_WINDOW_SECONDS)
            if not self.health_queued:
                self.health_used = False
                return
            self.health_queued.popleft().set_result(None)

    async def pay(self, correlation_id: str, cents: int, requested_at_ms: int) -> int:
        """Delay, then the flag, then the record: the status of the answer."""
        if self.delay_ms:
            await asyncio.sleep(self.delay_ms / 1000)
        status = 500 if self.failing else 422 if correlation_id in self.payments else 200
        if status == 200:  # noqa: PLR2004
            self.payments[correlation_id] = (cents, requested_at_ms)
        self.journal.append(Call("POST", status, correlation_id, cents, requested_at_ms))
        return status

    def _keep(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def detached(self, act: Awaitable[int]) -> "asyncio.Task[int]":
        """Go on although the client may leave: its departure cancels nothing here."""
        task = asyncio.ensure_future(act)
        self._keep(task)
        return task


def processor_app(book: Book) -> ASGIApp:
    """The processor as an ASGI application."""
    routes: dict[tuple[str, str], Callable[[Scope, Receive], Awaitable[tuple[int, Any]]]] = {
        ("POST", "/payments"): lambda scope, receive: _pay(book, scope, receive),
        ("GET", "/payments/service-health"): lambda scope, receive: _health(book, scope),
        ("GET", "/admin/payments-summary"): lambda scope, receive: _summary(book, scope),
        ("GET", "/admin/journal"): lambda scope, receive: _journal(book),
        ("GET", "/admin/health-calls"): lambda scope, receive: _health_calls(book),
        ("PUT", "/admin/configurations/token"): lambda scope, receive: _configure(book, receive, "token"),
        ("PUT", "/admin/configurations/delay"): lambda scope, receive: _configure(book, receive, "delay"),
        ("PUT", "/admin/configurations/failure"): lambda scope, receive: _configure(book, receive, "failure"),
        ("PUT", "/admin/configurations/hostile"): lambda scope, receive: _configure(book, receive, "hostile"),
        ("POST", "/admin/purge-payments"): lambda scope, receive: _purge(book),
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        path = scope["path"]
        hostile = book.hostile  # as it was when the call came: a test may turn it as soon as it sees the payment
        admin = path.startswith("/admin/")
        if admin and dict(scope["headers"]).get(b"x-rinha-token") != book.token.encode():
            await _answer(send, 401, None)
            return
        act = routes.get((scope["method"], path))
        if act is not None:
            status, body = await act(scope, receive)
        elif scope["method"] == "GET" and path.startswith("/payments/"):
            status, body = await _find(book, path.removeprefix("/payments/"))
        else:
            status, body = 404, None
        if hostile == "babble" and scope["method"] == "GET" and not admin:
            status, body = 200, "closed for maintenance"
        if hostile == "maze" and scope["method"] == "GET" and not admin:
            status, body = 200, {"closed": _Number("[" * MAZE_LEVELS + "]" * MAZE_LEVELS)}
        await _answer(send, status, body, hostile=hostile if path == "/payments" else "")

    return app


async def _pay(book: Book, scope: Scope, receive: Receive) -> tuple[int, Any]:
    body = await _body(receive)
    if not await book.enter():
        return _noted(book, Call("POST", 429), {"message": "too many"})
    try:
        if not dict(scope["headers"]).get(b"content-type", b"").startswith(b"application/json"):
            return _noted(book, Call("POST", 415), None)
        try:
            given = {str(key).lower(): value for key, value in json.loads(body, parse_float=Decimal).items()}
            id_ = str(UUID(str(given.get("correlationid", UUID(int=0)))))
            amount = Decimal(given.get("amount", 0)).quantize(CENT, ROUND_HALF_EVEN)
            at = parse_iso(str(given.get("requestedat", "0001-01-01T00:00:00Z")), field="requestedAt")
        except (ValueError, AttributeError, TypeError, InvalidOperation, Invalid):
            return _noted(book, Call("POST", 400), {"message": "malformed"})
        status = await asyncio.shield(book.detached(book.pay(id_, int(amount * 100), at)))
        match status:
            case 200:
                return 200, {"message": "payment processed successfully"}
            case 422:
                return 422, {"message": f"CorrelationId already exists: {id_}"}
            case _:
                return 500, None
    finally:
        book.leave()


async def _find(book: Book, correlation_id: str) -> tuple[int, Any]:
    if not await book.enter():
        return _noted(book, Call("GET", 429, correlation_id), {"message": "too many"})
    try:
        found = book.payments.get(correlation_id.lower())
        if found is None:
            return _noted(book, Call("GET", 404, correlation_id), None)
        at = iso(found[1]).removesuffix("Z")  # a zone-less column, as the original has it
        told = {"correlationId": correlation_id, "amount": _money(found[0]), "requestedAt": at}
        return _noted(book, Call("GET", 200, correlation_id, *found), told)
    finally:
        book.leave()


def _noted(book: Book, call: Call, body: Any) -> tuple[int, Any]:
    book.journal.append(call)
    return call.status, body


async def _health(book: Book, scope: Scope) -> tuple[int, Any]:
    book.health_calls.append((now_ms(), scope["client"][1]))
    if not await book.health_turn():
        return 429, {"message": "once per 5 s"}
    return 200, {"failing": book.failing, "minResponseTime": book.delay_ms}


async def _summary(book: Book, scope: Scope) -> tuple[int, Any]:
    query = parse_qs(scope["query_string"].decode())
    try:
        bounds = [parse_iso(query[name][0], field=name) for name in ("from", "to")] if len(query) > 1 else None
    except (Invalid, KeyError):
        return 400, {"message": "unreadable date"}
    taken = [cents for cents, at in book.payments.values() if bounds is None or bounds[0] <= at <= bounds[1]]
    return 200, {
        "totalAmount": _money(sum(taken)),
        "totalRequests": len(taken),
        "totalFee": _Number(str(Decimal(sum(taken)) / 100 * book.fee)),
        "feePerTransaction": _Number(str(book.fee)),
    }


async def _journal(book: Book) -> tuple[int, Any]:
    return 200, [
        [call.method, call.status, call.correlation_id, call.amount_cents, call.requested_at_ms]
        for call in book.journal
    ]


async def _health_calls(book: Book) -> tuple[int, Any]:
    return 200, book.health_calls


async def _purge(book: Book) -> tuple[int, Any]:
    book.payments.clear()
    book.journal.clear()
    return 200, {"message": "All payments purged."}


async def _configure(
    book: Book, receive: Receive, what: Literal["token", "delay", "failure", "hostile"]
) -> tuple[int, Any]:
    given = json.loads(await _body(receive))
    match what:
        case "token":
            book.token = str(given["token"])
            return 204, None
        case "delay":
            was, book.delay_ms = book.delay_ms, int(given["delay"])
            return 200, {"config": "delay", "was": was, "is": book.delay_ms}
        case "failure":
            failed, book.failing = book.failing, bool(given["failure"])
            return 200, {"config": "failure", "was": failed, "is": book.failing}
        case "hostile":
            if given["hostile"] not in get_args(Hostile):
                return 400, {"message": f"one of {list(get_args(Hostile))}"}
            before, book.hostile = book.hostile, given["hostile"]
            return 200, {"config": "hostile", "was": before, "is": book.hostile}


class _Number(str):
    """Text that is written as a JSON number."""

    __slots__ = ()


def _money(cents: int) -> _Number:
    return _Number(f"{cents // 100}.{cents % 100:02d}")


def _json(body: Any) -> bytes:
    if isinstance(body, dict):
        return b"{" + b",".join(json.dumps(key).encode() + b":" + _json(value) for key, value in body.items()) + b"}"
    return body.encode() if isinstance(body, _Number) else json.dumps(body).encode()


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(send: Send, status: int, body: Any, hostile: Hostile = "") -> None:
    """JSON comes chunked and an empty answer with its length, as the original's server writes them."""
    if hostile == "close_after_record":  # nothing after the head: the server closes
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        return
    if hostile == "half_open":
        await asyncio.sleep(SILENT_SECONDS)
    if hostile == "fail_after_record":
        status, body = 500, {"message": "database error"}
    if hostile == "refuse_after_record":
        status, body = 403, {"message": "not from here"}
    headers = [(b"retry-after", b"5")] if status == 429 else []  # noqa: PLR2004
    if body is None:
        await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    headers.append((b"content-type", b"application/json; charset=utf-8"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if hostile == "slow_body":
        await asyncio.sleep(1.0)
    await send({"type": "http.response.body", "body": _json(body)})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
