"""One FastAPI application out of any set of domains.

    app = create_app(installed("lastro.routers", "pix"), Settings.read())

A domain's router may have a lifespan of its own; it finds the hub in ``app.state.hub`` and yields what its endpoints
take from ``request.state``. Every failure is rendered here, once, as ``application/problem+json`` (RFC 9457).
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from http import HTTPStatus
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # of typing's pydantic reads none before 3.12
)

import msgspec
import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from pydantic import Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypedDict

from lastro.core import dashboard, docs
from lastro.core.access.described import current, described
from lastro.core.access.gate import Gate
from lastro.core.edge import PROBLEM, Edge, crash, refusal
from lastro.core.errors import Invalid, LastroError
from lastro.core.metrics import exposition
from lastro.core.plugins import plugs
from lastro.core.redis import Hub, connect
from lastro.core.settings import Settings

YOUNG_MAX = 10_000  # requests in flight are no garbage: by 700 the collector took 7 % of an attempt at a coupon
CLIENT_LEFT = 499  # as nginx counts it
MISTAKEN = {
    "missing": "is missing",
    "dict_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be an array",
    "extra_forbidden": "is not a known field",
}
"""What pydantic says in the words of Python, for callers who may know none."""
UNASKED: TelemetryConfig = {"tracing": False, "metrics": False}  # we have our own, and asking costs 3 µs a request


class App(FastAPI):
    """FastAPI behind our edge and the domains' fast paths, so that what they answer meets none of its layers."""

    gate: Gate
    outermost: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Edge, fast paths, FastAPI."""
        scope["app"] = self
        await (self.outermost or super().__call__)(scope, receive, send)

    def behind(self, edge: Callable[[ASGIApp], ASGIApp]) -> None:
        """Put something in front of everything so far."""
        self.outermost = edge(self.outermost or super().__call__)

    def openapi(self) -> dict[str, Any]:
        """FastAPI's document, with what our gate asks of each route and examples that may be sent now."""
        if self.openapi_schema is None:
            self.openapi_schema = described(super().openapi(), self.gate)
        return current(self.openapi_schema)


def create_app(routers: Mapping[str, APIRouter], settings: Settings) -> FastAPI:
    """The application of these domains: each under ``/<name>``, beside ``/livez``, ``/readyz`` and ``/metrics``.

    A domain's root router and its fast path, where it has them (`plugins.Face`), come with it. It shares the hub that
    its process sets as ``app.state.hub``; without, it has its own while it lives.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as last:
            if app.state.hub is None:
                app.state.hub = await last.enter_async_context(await connect(settings))
                last.callback(setattr, app.state, "hub", None)
            yield {"hub": app.state.hub}
            await dashboard.close(app)

    app = App(title="Lastro", version="0.1.0", lifespan=lifespan, docs_url=None, redoc_url=None, telemetry=UNASKED)
    app.state.hub = None
    app.state.stopping = asyncio.Event()  # streams that never end by themselves end with it
    app.add_exception_handler(LastroError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_input)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(Exception, _crash)
    app.include_router(_health)
    app.include_router(docs.router)
    dashboard.settle(app, settings, list(routers))
    for name, router in routers.items():
        app.include_router(router, prefix=f"/{name}", tags=[name])
        if name in plugs("lastro.roots"):
            app.include_router(plugs("lastro.roots")[name].load())
        if name in plugs("lastro.fronts"):
            app.behind(plugs("lastro.fronts")[name].load())
    access = {name: plug.load() for name, plug in plugs("lastro.access").items() if name in routers}
    app.gate = Gate(settings.api_keys, _owners(routers), access)
    app.behind(partial(Edge, gate=app.gate, body_bytes_max=settings.body_bytes_max, requests_max=settings.requests_max))
    return app


def _owners(routers: Mapping[str, APIRouter]) -> dict[str, str]:
    """First part of a path → the domain that answers there."""
    owners = {name: name for name in routers}
    for name in routers.keys() & plugs("lastro.roots").keys():
        for route in plugs("lastro.roots")[name].load().routes:
            owners[route.path.split("/", 2)[1]] = name
    return owners


def settle() -> None:
    """What is loaded by now stays: no collection, and so no request, looks through it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, *gc.get_threshold()[1:])


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
        return f"{'https' if self.config.is_ssl else 'http'}://{host}:{port}"


_health = APIRouter(include_in_schema=True, tags=["health"])


class Alive(TypedDict):
    """A process that runs."""

    status: Literal["ok"]


class Ready(TypedDict):
    """What a process needs, by name: ``ok``, or what is wrong with it."""

    status: Literal["ok", "missing"]
    redis: Annotated[str, Field(examples=["ok"])]
    url: NotRequired[Annotated[str, Field(description="where the store is, without its password; to who needs no key")]]


@_health.get("/livez")
async def livez() -> Alive:
    """This process runs; restart it when this does not answer."""
    return Alive(status="ok")


@_health.get("/readyz", responses={503: {"model": Ready, "description": "What is missing, by name."}})
async def readyz(request: Request, response: Response) -> Ready:
    """This process can work: every dependency by name, 503 when one is missing."""
    hub: Hub = request.state.hub
    try:
        async with asyncio.timeout(1.0):
            await hub.read.ping()
    except (LastroError, TimeoutError) as error:
        response.status_code = 503
        if request.app.state.settings.api_keys == "on":
            return {"status": "missing", "redis": "missing"}
        return {"status": "missing", "redis": str(error) or "no answer in 1 s", "url": hub.url}
    if request.app.state.settings.api_keys == "on":
        return {"status": "ok", "redis": "ok"}  # where the store is, is for those with a key
    return {"status": "ok", "redis": "ok", "url": hub.url}


@_health.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    """Prometheus' text format."""
    return Response(await exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, LastroError)
    return refusal(error, request.url.path)


async def _refuse_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place, *names = first["loc"]  # query, path, header or body; then the name that the caller wrote
    if first["type"] == "json_invalid":
        return await _refuse(request, Invalid(field="body", reason=f"not JSON: {first['ctx']['error']}"))
    if place == "body" and not _is_json(request.headers):
        return await _refuse(request, Invalid(field="content-type", reason="must be application/json"))
    reason = MISTAKEN.get(first["type"], first["msg"])
    return await _refuse(request, Invalid(field=".".join(map(str, names)) or "body", reason=reason))


def _is_json(headers: Headers) -> bool:
    """Whether the body is, or there is none at all."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    empty = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
    return empty or kind.endswith(("/json", "+json"))


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    unread = error.__cause__  # why FastAPI could not read a body: digits or levels beyond Python's bounds, no UTF-8
    if isinstance(unread, LastroError):  # or its key ended before it came
        return await _refuse(request, unread)
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(unread, ValueError | RecursionError):
        return await _refuse(request, Invalid(field="body", reason=f"not JSON that can be read: {unread}"))
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


async def _left(request: Request, error: Exception) -> Response:
    """Nobody hears it; the client's doing, it counts as that."""
    return Response(status_code=CLIENT_LEFT)


async def _crash(request: Request, error: Exception) -> Response:
    return crash(error, request.url.path)
