"""A real web server for a test, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.types import ASGIApp

from lastro.core.app import Server
from lastro.core.testing import wait_for

ANSWER_SECONDS = 30.0


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """The application behind uvicorn on a free port, and a client to it."""
    server = Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=2))
    serving = asyncio.create_task(server.serve())
    try:
        await wait_for(lambda: server.started or serving.done(), "the web server")
        async with httpx.AsyncClient(base_url=server.url, timeout=ANSWER_SECONDS) as client:
            yield client
    finally:
        server.should_exit = True
        await serving
