"""Two processors and a crowd that pays: what ``lastro up --simulate`` shows."""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from decimal import Decimal
from http import HTTPStatus
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import structlog
import uvicorn

from lastro.core.access.client import client
from lastro.core.app import Server
from lastro.core.errors import Misconfigured
from lastro.core.worker import Run
from lastro.payments.settings import PaymentsSettings

from . import Book, processor_app

PAYMENTS_PER_SECOND = 20
WEATHER_SECONDS = 10.0
RETRY_SECONDS = 0.5

log = structlog.get_logger()


async def world(run: Run) -> None:
    """Both processors, with changing weather, on the addresses of the settings; a payment every now and then."""
    settings = PaymentsSettings.read()
    books = {
        settings.processor_default_url: Book(fee=settings.fee_default),
        settings.processor_fallback_url: Book(fee=settings.fee_fallback),
    }
    async with serve_books(books):
        await asyncio.gather(_pay(run), _weather(run, list(books.values())))


@asynccontextmanager
async def serve_books(books: Mapping[str, Book]) -> AsyncIterator[None]:
    """A processor per address, in this loop. Raises Misconfigured where nothing can listen."""
    with ExitStack() as bound:
        sockets = [bound.enter_context(listen(url)) for url in books]
        servers = [_server(book) for book in books.values()]
        serving = [asyncio.create_task(server.serve([at])) for server, at in zip(servers, sockets, strict=True)]
        try:
            yield
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*serving)


def listen(url: str) -> socket.socket:
    """At the address of a processor. Raises Misconfigured, a sentence that says what to do."""
    parts = urlsplit(url)
    try:
        return socket.create_server((parts.hostname or "127.0.0.1", 80 if parts.port is None else parts.port))
    except OSError as error:
        said = os.strerror(error.errno or 0)
        reason = f"nothing can listen on {parts.netloc} ({said}): stop what does, or set another address"
        raise Misconfigured(setting="LASTRO_PAYMENTS_PROCESSOR_DEFAULT_URL or …_FALLBACK_URL", reason=reason) from None


def _server(book: Book) -> Server:
    return Server(uvicorn.Config(processor_app(book), log_config=None, access_log=False, timeout_graceful_shutdown=1))


async def _pay(run: Run) -> None:
    while not run.url and not await run.pause(0.05):
        pass
    async with client(run.settings, run.url) as http:
        while not await run.pause(random.expovariate(PAYMENTS_PER_SECOND)):
            amount = Decimal(random.randrange(100, 100_000)) / 100
            body = f'{{"correlationId": "{uuid4()}", "amount": {amount}}}'
            while (status := await _sent(http, body)) is None and not await run.pause(RETRY_SECONDS):
                pass
            if status is not None and status >= HTTPStatus.BAD_REQUEST:
                log.warning("payments.refused", status=status)


async def _sent(http: httpx.AsyncClient, body: str) -> int | None:
    """The status of the answer; None when none came: the id makes a repeat harmless."""
    try:
        answer = await http.post("/payments", content=body, headers={"content-type": "application/json"})
    except httpx.TransportError:
        return None
    return answer.status_code


async def _weather(run: Run, books: list[Book]) -> None:
    while not await run.pause(WEATHER_SECONDS):
        book = random.choice(books)
        book.delay_ms, book.failing = random.choice([(0, False), (0, False), (50, False), (300, False), (10, True)])
