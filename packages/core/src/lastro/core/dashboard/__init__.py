"""The engine in a browser: one page, fed by server-sent events; plain HTML, CSS and JavaScript.

All pages of a process share one look a second, which is only taken while somebody watches.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, StreamingResponse

from lastro.core.docs import media
from lastro.core.errors import Busy, NotFound
from lastro.core.panels import Look, Watch
from lastro.core.plugins import plugs
from lastro.core.settings import Settings

LOOK_SECONDS = 1.0
WATCHERS_MAX = 100
PAGE = Path(__file__).parent / "page"
KINDS = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
STRICT = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-cache",
}

router = APIRouter()


class NoSuchFile(NotFound):
    """The dashboard has no file {name}."""

    code = "dashboard.no_such_file"


@dataclass(slots=True, eq=False)
class Feed:
    """One look a second for everybody who watches; none when nobody does."""

    watch: Watch
    stopping: asyncio.Event
    watchers: int = 0
    _next: asyncio.Future[Look] | None = None
    _looking: asyncio.Task[None] | None = field(default=None)

    async def events(self) -> AsyncIterator[bytes]:
        """The past of the charts, then one event a second until the service stops or the browser goes."""
        self.watchers += 1
        try:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            yield _event("past", [look.told() for look in self.watch.past])
            while not self.stopping.is_set():
                yield _event("look", (await self._coming()).told())
        finally:
            self.watchers -= 1

    def _coming(self) -> "asyncio.Future[Look]":
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return asyncio.shield(self._next)

    async def _look(self) -> None:
        while self.watchers and not self.stopping.is_set():
            look = await self.watch.look()
            waiting, self._next = self._next, None
            if waiting is not None:
                waiting.set_result(look)
            await asyncio.sleep(LOOK_SECONDS)


async def _feed(request: Request) -> Feed:
    state = request.app.state
    if not hasattr(state, "feed"):
        shows = {name: plug.load() for name, plug in plugs("lastro.panels").items() if name in state.domains}
        state.feed = Feed(Watch(state.settings, shows), state.stopping)
    found: Feed = state.feed
    return found


Watched = Annotated[Feed, Depends(_feed)]


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """The page."""
    return FileResponse(PAGE / "index.html", headers=STRICT)


@router.get("/dashboard/{name}", include_in_schema=False)
async def part(name: str) -> FileResponse:
    """What the page needs."""
    if name not in KINDS:
        raise NoSuchFile(name=name)
    return FileResponse(PAGE / name, media_type=KINDS[name], headers=STRICT)


@router.get("/live", tags=["dashboard"], response_class=StreamingResponse, responses=media("text/event-stream"))
async def live(feed: Watched) -> StreamingResponse:
    """Everything that the dashboard shows, once a second, as server-sent events (``past``, then ``look``)."""
    if feed.watchers >= WATCHERS_MAX:
        raise Busy
    return StreamingResponse(
        feed.events(), media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
    )


@router.get("/live.json", tags=["dashboard"])
async def once(feed: Watched) -> Look:
    """One look, as `lastro monitor --once --json` prints it."""
    return await feed.watch.look()


def _event(name: str, value: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"


def settle(app: Any, settings: Settings, domains: list[str]) -> None:
    """Tell the application what its dashboard shows."""
    app.state.settings = settings
    app.state.domains = domains
    app.include_router(router)


async def close(app: Any) -> None:
    """Let go of the server."""
    if hasattr(app.state, "feed"):
        await app.state.feed.watch.aclose()
