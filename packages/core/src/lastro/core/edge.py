"""The outermost layer of a service: what every request meets, whatever it asks for, and every answer carries."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from itertools import count
from secrets import token_hex
from time import monotonic
from typing import Any

import msgspec
import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lastro.core import tracing
from lastro.core.access import GRANT
from lastro.core.access.gate import Gate, Watched
from lastro.core.errors import Busy, LastroError, TooFast, TooLarge, Unauthorized
from lastro.core.logging import REQUEST_ID
from lastro.core.metrics import SECONDS, Tally, counter, gauge, histogram

PROBLEM = "application/problem+json"
CHALLENGES = ('Bearer realm="lastro"', 'Basic realm="lastro", charset="UTF-8"')
"""Basic is for people with a browser: any name, and the key as password. Browsers read one challenge per header."""
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
REQUESTS = counter("http_requests_total", "requests answered", do="5xx: read the log", status=CLASSES)
REQUEST_SECONDS = histogram(
    "http_request_seconds", "from first byte in to last byte out", do="which route?", buckets=SECONDS
)
IN_FLIGHT = gauge(
    "http_requests_in_flight", "requests being answered", do="near requests_max: add processes", across="livesum"
)
SHED = counter("http_shed_total", "requests answered 503 because too many were in flight", do="add processes")

ALL_HAVE = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
OVER_TLS = (*ALL_HAVE, (b"strict-transport-security", b"max-age=31536000"))
TRACE = b"traceparent"
KEY_SHARE = 0.5
"""Of the requests in flight, streams included, one key's are at most so many: the others, the operator's, get in."""
NOT_KEPT = (b"cache-control", b"no-store")
"""Unless the answer says otherwise: nobody between us and the caller keeps what is about money."""

Headers = tuple[tuple[bytes, bytes], ...]

log = structlog.get_logger()


def problem(error: LastroError, instance: str | None = None) -> dict[str, Any]:
    """The problem document of an error (RFC 9457)."""
    about = {key: value if isinstance(value, int | float | bool) else str(value) for key, value in error.about.items()}
    document = {
        "type": f"urn:lastro:problem:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "code": error.code,
        "detail": str(error),
    }
    return {**about, **document, **({"instance": instance} if instance else {})}


def refusal(error: LastroError, path: str) -> Response:
    """The response that says no: the one way an error leaves a service."""
    headers = {"content-type": PROBLEM}
    if "retry_after_seconds" in error.about:
        headers["retry-after"] = str(error.about["retry_after_seconds"])
    response = Response(msgspec.json.encode(problem(error, path)), error.status, headers)
    if isinstance(error, Unauthorized):
        for challenge in CHALLENGES:
            response.headers.append("www-authenticate", challenge)
    return response


def crash(error: Exception, path: str) -> Response:
    """The response to a bug: it tells nothing, the log does."""
    log.error("http.crashed", path=path, error=repr(error))
    return refusal(LastroError(), path)


class Edge:
    """Sheds load, limits the body, gives the request its id, asks for its key, counts, sets the response headers."""

    def __init__(self, app: ASGIApp, gate: Gate, *, body_bytes_max: int, requests_max: int) -> None:
        self.app = app
        self.gate = gate
        self.body_bytes_max = body_bytes_max
        self.requests_max = requests_max
        self.in_flight = 0
        self.by_key: Counter[str] = Counter()
        self.answered = [REQUESTS.tally(status=of) for of in CLASSES]
        self.ids, self.prefix = count(1), token_hex(8).encode()  # asking for chance with every request costs more
        self.gauge, self.seconds, self.shed = IN_FLIGHT.tally(), REQUEST_SECONDS.tally(), SHED.of()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with the reason."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")[:64] or b"%b%016x" % (self.prefix, next(self.ids))
        answer = _Answer(send, request_id, self.answered, OVER_TLS if scope["scheme"] == "https" else ALL_HAVE)
        if scope["method"] == "HEAD" and self.gate.is_core(scope):  # of a domain, GET may hand out what waits
            scope, answer = {**scope, "method": "GET"}, _Bare(send, request_id, self.answered, answer.more)
        if self.in_flight >= self.requests_max and scope["path"] not in {"/livez", "/metrics"}:
            self.shed.inc()
            await refusal(Busy(), scope["path"])(scope, receive, answer)
            return
        if int(headers.get(b"content-length") or 0) > self.body_bytes_max:
            await self._too_large(scope, receive, answer)
            return
        started = monotonic()
        self.in_flight += 1
        self.gauge(self.in_flight)
        # the server runs each request in a task, so in a context, of its own: nothing is left to be unbound
        REQUEST_ID.set(request_id)
        traced = tracing.go_on(headers[TRACE], scope["method"], scope["path"]) if TRACE in headers else None
        try:
            if b"origin" in headers or b"sec-fetch-site" in headers:
                self.gate.refuse_foreign(scope, headers)
            if not self.gate.stands_open(scope):
                await self._keyed(scope, headers, receive, answer)
            elif b"transfer-encoding" in headers:
                await self._count_body(scope, receive, answer)
            else:  # the server reads no more than was announced
                await self._pass_on(scope, receive, answer, answer)
        except LastroError as error:
            if answer.started:
                raise
            await refusal(error, scope["path"])(scope, receive, answer)
        finally:
            self.in_flight -= 1
            self.gauge(self.in_flight)
            self.seconds(monotonic() - started)
            if traced:
                traced.end()

    async def _keyed(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, answer: "_Answer") -> None:
        """Answer who has a key, while it opens this."""
        presented = headers.get(b"authorization", b""), headers.get(b"x-api-key", b"")
        await self.gate.admit(scope, presented)
        key = scope[GRANT].key_id if GRANT in scope else ""
        if key and self.by_key[key] >= max(1, self.requests_max * KEY_SHARE):
            raise TooFast(retry_after_seconds=1)
        self.by_key[key] += 1
        try:
            watched = Watched(receive, answer, partial(self.gate.still_opens, scope, presented))
            if b"transfer-encoding" in headers:
                await self._count_body(scope, watched, answer)
            else:
                await self._pass_on(scope, watched, answer, answer)
        finally:
            self.by_key[key] -= 1
            if not self.by_key[key]:
                del self.by_key[key]

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, answer: "_Answer") -> None:
        try:
            await self.app(scope, receive, send)
            if answer.cut:
                await answer({"type": "http.response.body", "body": b"", "more_body": False})
        except ClientDisconnect:
            pass  # of a fast path; nobody is left to be answered, unless it was us who cut the body off
        except LastroError:
            raise
        except Exception as error:
            if not answer.started:  # a fast path's: FastAPI has answered its own
                await crash(error, scope["path"])(scope, receive, answer)
            raise

    async def _count_body(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        body = _Body(receive, answer, self.body_bytes_max)
        await self._pass_on(scope, body.receive, body.send, answer)
        if body.too_large:
            await self._too_large(scope, receive, answer)

    async def _too_large(self, scope: Scope, receive: Receive, answer: Send) -> None:
        await refusal(TooLarge(limit_bytes=self.body_bytes_max), scope["path"])(scope, receive, answer)


class _Answer:
    """A response on its way out: gets the headers that all have, and is counted."""

    __slots__ = ("answered", "cut", "more", "request_id", "send", "started")

    def __init__(self, send: Send, request_id: bytes, answered: list[Tally], more: Headers) -> None:
        self.send = send
        self.request_id = request_id
        self.answered = answered
        self.more = more
        self.started = self.cut = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.answered[message["status"] // 100 - 1]()
            given = message.get("headers", ())
            told = message["headers"] = [*given, (b"x-request-id", self.request_id), *self.more]
            for name, _ in given:
                if name == b"cache-control":
                    break
            else:
                told.append(NOT_KEPT)
        await self.send(message)


class _Bare(_Answer):
    """An answer to HEAD: the headers of GET, and it ends there, also where GET never would."""

    __slots__ = ()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await super().__call__(message)
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})


class _Body:
    """Counts a body as it comes, for clients that do not announce its length; past the limit it reads as cut off."""

    __slots__ = ("answer", "incoming", "left", "too_large")

    def __init__(self, incoming: Receive, answer: Send, limit: int) -> None:
        self.incoming = incoming
        self.answer = answer
        self.left = limit
        self.too_large = False

    async def receive(self) -> Message:
        message = await self.incoming()
        self.left -= len(message.get("body", b""))
        if self.left < 0:
            self.too_large = True
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if not self.too_large:
            await self.answer(message)
