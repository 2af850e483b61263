"""One FastAPI application out of any set of domains.

    app = create_app(installed("lastro.routers", "pix"), Settings.read())

A domain's router may have a lifespan of its own; it finds the hub in ``app.state.hub`` and yields what its endpoints
take from ``request.state``. Every failure is rendered here, once, as ``application/problem+json`` (RFC 9457).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from http import HTTPStatus
from itertools import count
from secrets import token_hex
from time import monotonic
from typing import Any

import msgspec
import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lastro.core import dashboard
from lastro.core.errors import Busy, Invalid, LastroError, TooLarge
from lastro.core.metrics import SECONDS, Tally, counter, exposition, gauge, histogram
from lastro.core.plugins import plugs
from lastro.core.redis import Hub, connect
from lastro.core.settings import Settings

PROBLEM = "application/problem+json"
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
REQUESTS = counter("http_requests_total", "requests answered", do="5xx: read the log", status=CLASSES)
REQUEST_SECONDS = histogram(
    "http_request_seconds", "from first byte in to last byte out", do="which route?", buckets=SECONDS
)
IN_FLIGHT = gauge(
    "http_requests_in_flight", "requests being answered", do="near requests_max: add processes", across="livesum"
)
SHED = counter("http_shed_total", "requests answered 503 because too many were in flight", do="add processes")

UNASKED: TelemetryConfig = {"tracing": False, "metrics": False}  # we have our own, and asking costs 3 µs a request

log = structlog.get_logger()


class App(FastAPI):
    """FastAPI behind our edge and the domains' fast paths, so that what they answer meets none of its layers."""

    outermost: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Edge, fast paths, FastAPI."""
        scope["app"] = self
        await (self.outermost or super().__call__)(scope, receive, send)

    def behind(self, edge: Callable[[ASGIApp], ASGIApp]) -> None:
        """Put something in front of everything so far."""
        self.outermost = edge(self.outermost or super().__call__)


def create_app(routers: Mapping[str, APIRouter], settings: Settings, hub: Hub | None = None) -> FastAPI:
    """The application of these domains: each under ``/<name>``, beside ``/livez``, ``/readyz`` and ``/metrics``.

    A domain's root router and its fast path, where it has them (`plugins.Face`), come with it. With ``hub`` it shares
    that of its process, without it has its own.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as last:
            app.state.hub = hub or await last.enter_async_context(await connect(settings))
            yield {"hub": app.state.hub}
            await dashboard.close(app)

    app = App(title="Lastro", version="0.1.0", lifespan=lifespan, docs_url="/docs", redoc_url=None, telemetry=UNASKED)
    app.state.stopping = asyncio.Event()  # streams that never end by themselves end with it
    app.add_exception_handler(LastroError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_input)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(Exception, _crash)
    app.include_router(_health)
    dashboard.settle(app, settings, list(routers))
    for name, router in routers.items():
        app.include_router(router, prefix=f"/{name}", tags=[name])
        if name in plugs("lastro.roots"):
            app.include_router(plugs("lastro.roots")[name].load())
        if name in plugs("lastro.fronts"):
            app.behind(plugs("lastro.fronts")[name].load())
    app.behind(partial(_Edge, body_bytes_max=settings.body_bytes_max, requests_max=settings.requests_max))
    return app


class Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: whoever starts it stops it, by ``should_exit``."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's."""
        yield

    @property
    def url(self) -> str:
        """Where it listens, once ``started``."""
        if self.config.uds:
            return f"unix:{self.config.uds}"
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"


def problem(error: LastroError, instance: str | None = None) -> dict[str, Any]:
    """The problem document of an error: what the web renders and the command line's ``--json`` prints."""
    about = {key: value if isinstance(value, int | float | bool) else str(value) for key, value in error.about.items()}
    document = {
        "type": f"urn:lastro:problem:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "code": error.code,
        "detail": str(error),
    }
    return {**about, **document, **({"instance": instance} if instance else {})}


_health = APIRouter(include_in_schema=True, tags=["health"])


@_health.get("/livez")
async def livez() -> dict[str, str]:
    """This process runs; restart it when this does not answer."""
    return {"status": "ok"}


@_health.get("/readyz")
async def readyz(request: Request, response: Response) -> dict[str, Any]:
    """This process can work: every dependency by name, 503 when one is missing."""
    hub: Hub = request.state.hub
    try:
        async with asyncio.timeout(1.0):
            await hub.read.ping()
    except (LastroError, TimeoutError) as error:
        response.status_code = 503
        return {"status": "missing", "redis": str(error) or "no answer in 1 s", "url": hub.url}
    return {"status": "ok", "redis": "ok", "url": hub.url}


@_health.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    """Prometheus' text format."""
    return Response(exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def refusal(error: LastroError, path: str) -> Response:
    """The response that says no: the one way an error leaves a service."""
    headers = {"content-type": PROBLEM}
    if "retry_after_seconds" in error.about:
        headers["retry-after"] = str(error.about["retry_after_seconds"])
    return Response(msgspec.json.encode(problem(error, path)), error.status, headers)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, LastroError)
    return refusal(error, request.url.path)


async def _refuse_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return await _refuse(request, Invalid(field=where, reason=first["msg"]))


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    document = {
        "type": "about:blank",
        "title": HTTPStatus(error.status_code).phrase,
        "status": error.status_code,
        "code": f"http.{error.status_code}",
        "detail": str(error.detail),
        "instance": request.url.path,
    }
    return Response(
        msgspec.json.encode(document), error.status_code, {**(error.headers or {}), "content-type": PROBLEM}
    )


async def _crash(request: Request, error: Exception) -> Response:
    log.error("http.crashed", path=request.url.path, error=repr(error))
    return await _refuse(request, LastroError())


class _Edge:
    """Outermost: sheds load, limits the body, gives the request its id, counts, sets the response headers."""

    def __init__(self, app: ASGIApp, body_bytes_max: int, requests_max: int) -> None:
        self.app = app
        self.body_bytes_max = body_bytes_max
        self.requests_max = requests_max
        self.in_flight = 0
        self.answered = [REQUESTS.tally(status=of) for of in CLASSES]
        self.ids, self.prefix = count(1), token_hex(8).encode()  # asking for chance with every request costs more
        self.gauge, self.seconds, self.shed = IN_FLIGHT.tally(), REQUEST_SECONDS.tally(), SHED.of()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, length = b"", b""
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = value
            elif name == b"x-request-id":
                request_id = value[:64]
        answer = _Answer(send, request_id or b"%b%016x" % (self.prefix, next(self.ids)), self.answered)
        if self.in_flight >= self.requests_max and scope["path"] not in {"/livez", "/metrics"}:
            self.shed.inc()
            await refusal(Busy(), scope["path"])(scope, receive, answer)
            return
        if length and int(length) > self.body_bytes_max:
            await self._too_large(scope, receive, answer)
            return
        body = _Body(receive, answer, self.body_bytes_max)
        started = monotonic()
        self.in_flight += 1
        self.gauge(self.in_flight)
        # the server runs each request in a task, so in a context, of its own: nothing is left to be unbound
        structlog.contextvars.bind_contextvars(request_id=answer.request_id.decode("latin-1"))
        try:
            await self.app(scope, body.receive, body.send)
        except ClientDisconnect:
            if not body.too_large:
                raise
        except Exception as error:
            if not answer.started:  # a fast path's: FastAPI has answered its own
                await (await _crash(Request(scope), error))(scope, receive, answer)
            raise
        finally:
            self.in_flight -= 1
            self.gauge(self.in_flight)
            self.seconds(monotonic() - started)
        if body.too_large:
            await self._too_large(scope, receive, answer)

    async def _too_large(self, scope: Scope, receive: Receive, answer: Send) -> None:
        await refusal(TooLarge(limit_bytes=self.body_bytes_max), scope["path"])(scope, receive, answer)


class _Answer:
    """A response on its way out: gets the headers that all have, and is counted."""

    __slots__ = ("answered", "request_id", "send", "started")

    def __init__(self, send: Send, request_id: bytes, answered: list[Tally]) -> None:
        self.send = send
        self.request_id = request_id
        self.answered = answered
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.answered[message["status"] // 100 - 1]()
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id),
                (b"x-content-type-options", b"nosniff"),
            ]
        await self.send(message)


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
