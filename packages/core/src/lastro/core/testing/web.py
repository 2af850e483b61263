"""A real web server for a test, in the test's own loop."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from lastro.core.app import App, Server
from lastro.core.edge import PROBLEM
from lastro.core.plugins import plugs
from lastro.core.testing import wait_for

ANSWER_SECONDS = 30.0
BUG = 500
OFF = frozenset({401, 403, 405, 429})
"""Of the gate, which may be off, and of no route."""


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """The application behind uvicorn on a free port, and a client to it: no domain refuses in a way it hides."""
    server = Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=2))
    serving = asyncio.create_task(server.serve())
    try:
        await wait_for(lambda: server.started or serving.done(), "the web server")
        hooks: dict[str, list[Callable[..., Any]]] = {"response": [_Documented(app)]} if isinstance(app, App) else {}
        async with httpx.AsyncClient(base_url=server.url, timeout=ANSWER_SECONDS, event_hooks=hooks) as client:
            yield client
    finally:
        server.should_exit = True
        await serving


class _Documented:
    """Every refusal of an installed domain stands in the document of its route."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, answer: httpx.Response) -> None:
        path, method = answer.request.url.path, answer.request.method.lower()
        domain = self.app.gate.domains.get(path.split("/", 2)[1])
        ours = answer.headers.get("content-type") == PROBLEM and domain in plugs("lastro.routers")
        if not ours or answer.status_code in OFF or answer.status_code >= BUG:
            return
        told = [
            item[method]["responses"]
            for template, item in self.app.openapi()["paths"].items()
            if method in item and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        ]
        assert not told or any(str(answer.status_code) in one for one in told), f"{method} {path}: {answer.status_code}"
