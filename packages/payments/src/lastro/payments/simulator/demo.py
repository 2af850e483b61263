"""Payments in the demo: 20,000 through two processors that fail in turn; the processors' own books are the judge."""

import asyncio
import random
from collections.abc import Iterator, Mapping
from itertools import islice
from uuid import UUID, uuid4

import httpx

from lastro.core.acts import Act, Result, Stage, free_ports
from lastro.payments.engine.http import Cut, HttpClient, NotConnected
from lastro.payments.settings import PaymentsSettings

from . import Book
from .world import serve_books

PAYMENTS = 20_000
CLIENTS = 32
WEATHER_SECONDS = 4.0
WEATHER = ((2, False), (40, False), (5, True), (120, False))
"""Delay in ms and whether it fails: each processor goes through them, out of step with the other."""
END_SECONDS = 60.0
HTTP_CREATED = 201


def environment() -> Mapping[str, str]:
    """Both processors on free ports, and room for as many calls as they take."""
    default, fallback = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    return {
        "LASTRO_PAYMENTS_PROCESSOR_DEFAULT_URL": default,
        "LASTRO_PAYMENTS_PROCESSOR_FALLBACK_URL": fallback,
        "LASTRO_PAYMENTS_MAX_CONCURRENT_REQUESTS": "50",
    }


async def play(stage: Stage) -> Result:
    """Send all, wait until both sides count the same, compare every payment."""
    settings = PaymentsSettings.read()
    books = {
        settings.processor_default_url: Book(fee=settings.fee_default),
        settings.processor_fallback_url: Book(fee=settings.fee_fallback),
    }
    sent = {str(uuid4()): random.randrange(100, 100_000) for _ in range(PAYMENTS)}
    async with serve_books(books):
        weather = asyncio.create_task(_weather(list(books.values())))
        left = iter(sent.items())
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(_client(stage, left))
        counted = await _counted(stage)
        weather.cancel()
    return Result(
        done=PAYMENTS,
        unit="payments",
        notes=f"{len(books[settings.processor_default_url].payments):,} by the default processor",
        wrong=tuple(islice(_wrong(sent, list(books.values()), counted), 5)),
    )


async def _client(stage: Stage, left: Iterator[tuple[str, int]]) -> None:
    client = HttpClient(stage.url, connect_seconds=5.0, answer_seconds=10.0)
    for correlation_id, cents in left:
        body = f'{{"correlationId":"{correlation_id}","amount":{cents // 100}.{cents % 100:02d}}}'.encode()
        while True:
            try:
                if (await client.ask(b"POST /payments", body)).status == HTTP_CREATED:
                    break
            except (NotConnected, Cut):
                pass  # its process was killed: the same id again
            await asyncio.sleep(0.1)
        stage.told(1)
    client.close()


async def _counted(stage: Stage) -> tuple[int, int]:
    """What the engine says when it has done all: payments, cents."""
    deadline = asyncio.get_running_loop().time() + END_SECONDS
    count = cents = 0
    async with httpx.AsyncClient(base_url=stage.url) as client:
        while count < PAYMENTS and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.2)
            try:
                summary = (await client.get("/payments-summary")).json()
            except (httpx.TransportError, ValueError):
                continue
            if {"default", "fallback"} <= summary.keys():
                count = sum(side["totalRequests"] for side in summary.values())
                cents = sum(round(side["totalAmount"] * 100) for side in summary.values())
    return count, cents


def _wrong(sent: Mapping[str, int], books: list[Book], counted: tuple[int, int]) -> Iterator[str]:
    charged: dict[str, int] = {}
    for book in books:
        for correlation_id, (cents, _) in book.payments.items():
            name = str(UUID(correlation_id))
            if name in charged:
                yield f"{name} was charged by both processors"
            charged[name] = cents
    for correlation_id, cents in sent.items():
        if charged.get(correlation_id) != cents:
            yield f"{correlation_id} of {cents} cents was charged {charged.get(correlation_id)}"
    if counted != (PAYMENTS, sum(sent.values())):
        yield f"the summary says {counted}, sent were {(PAYMENTS, sum(sent.values()))}"


async def _weather(books: list[Book]) -> None:
    step = 0
    while True:
        for number, book in enumerate(books):
            book.delay_ms, book.failing = WEATHER[(step + number) % len(WEATHER)]
        step += 1
        await asyncio.sleep(WEATHER_SECONDS)


ACT = Act(what="payments: through two failing processors", steps=PAYMENTS, play=play, environment=environment)
