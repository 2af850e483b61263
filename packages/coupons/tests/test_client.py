"""A client that behaves, in Python and in a browser."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.testing.web import served
from lastro.core.worker import Run
from lastro.coupons.api import demo
from lastro.coupons.engine import Coupons, events
from lastro.coupons.simulator import world as simulated
from lastro.coupons.simulator.client import Client, Manners
from lastro.coupons.simulator.world import world

from .conftest import opened, persisting

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.anyio
Answer = tuple[int, dict[str, Any], dict[str, str]]
PATIENT = Manners(tries_max=4, base_seconds=0.01, answer_seconds=20)
HASTY = replace(PATIENT, answer_seconds=0.2)
WON: Answer = (201, {"issuance_id": "i", "code": "7ZQK-4M2P-XW9D-H"}, {})
SOLD_OUT: Answer = (409, {"code": "coupons.sold_out", "detail": "gone"}, {})
CROWDED: Answer = (503, {"code": "lastro.busy"}, {"retry-after": "0"})
SILENCE: Answer = (0, {}, {})


class Moody:
    """A server that gives the answers it is told, one after another, and remembers the keys it saw."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.keys: list[str] = []
        self.times: list[float] = []
        self.app = FastAPI()
        self.app.include_router(demo.router, prefix="/coupons")
        self.app.add_api_route("/coupons/events/{event_id}/issuances", self.answer, methods=["POST"])

    async def answer(self, event_id: str, request: Request) -> Response:
        self.keys.append(request.headers["idempotency-key"])
        self.times.append(asyncio.get_running_loop().time())
        status, body, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        while not status and (await request.receive())["type"] != "http.disconnect":
            pass
        return JSONResponse(body, status or 500, headers)


@pytest.mark.parametrize(
    ("answers", "word", "tries"),
    [
        ([WON], "won", 1),
        ([SOLD_OUT], "lost", 1),
        ([(410, {}, {})], "lost", 1),
        ([CROWDED, (429, {}, {"retry-after": "0"}), WON], "won", 3),
        ([(409, {"code": "coupons.not_open", "retry_after_ms": 20}, {}), WON], "won", 2),
        ([SILENCE, WON], "won", 2),
        ([SILENCE], "unknown", 4),
        ([CROWDED], "unknown", 4),
    ],
)
async def test_it_stops_at_an_answer_and_asks_again_under_one_key_otherwise(
    answers: list[Answer], word: str, tries: int
) -> None:
    """A timeout is never a "no", and never asked about for ever."""
    server, silent = Moody(*answers), SILENCE in answers
    async with served(server.app) as http:
        outcome = await Client(http, HASTY if silent else PATIENT).attempt("e", "ana")
    assert (outcome.word, len(set(server.keys))) == (word, 1)
    assert (outcome.tries, len(server.keys)) == (tries, tries) or (silent and outcome.tries > tries)  # late is silent


async def test_it_does_not_come_back_before_it_was_asked_to() -> None:
    server = Moody((503, {}, {"retry-after": "1"}), WON)
    async with served(server.app) as http:
        await Client(http, PATIENT).attempt("e", "ana")
    assert server.times[1] - server.times[0] >= 1


@pytest.mark.parametrize("per_user_limit", [1, 2])
async def test_a_winner_who_did_not_hear_it_and_comes_back_with_a_newer_ticket_has_won(
    client: httpx.AsyncClient, coupons: Coupons, per_user_limit: int
) -> None:
    """The room signs another at each call: it says who may ask, and is not what is asked."""
    await opened(coupons, total=5, room_per_second=10, per_user_limit=per_user_limit)
    attempts, tickets = Client(client, PATIENT), [(await events.join(coupons, "e", "ana")).ticket]
    lost = await attempts.attempt("e", "ana", key="k", ticket=tickets[0])
    tickets.append(await wait_for(lambda: another(coupons, tickets[0]), "another ticket"))
    again = await attempts.attempt("e", "ana", key="k", ticket=tickets[1])
    assert (lost.word, again.word, again.about) == ("won", "won", lost.about)


async def another(coupons: Coupons, ticket: str) -> str:
    """The ticket of now; they are signed by the millisecond."""
    now = (await events.join(coupons, "e", "ana")).ticket
    return "" if now == ticket else now


def test_its_pauses_are_spread_and_capped() -> None:
    pauses = [Manners(cap_seconds=8).pause_seconds(9, 2.0) for _ in range(200)]
    assert min(pauses) >= 2
    assert max(pauses) <= 8
    assert max(pauses) - min(pauses) > 3


async def pressed(browser: "Browser", url: str) -> "Page":
    page = await browser.new_page()
    await page.goto(f"{url}/coupons/demo?event=e&user=ana")
    await page.get_by_role("button").click()
    return page


async def outcome_of(page: "Page", outcome: str) -> str:
    """What the page says once it has come to that."""
    said = page.locator(f"output[data-outcome={outcome}]")
    await said.wait_for(timeout=30_000)
    return await said.inner_text()


async def test_the_page_says_pass_or_fail_at_once(
    client: httpx.AsyncClient, coupons: Coupons, browser: "Browser"
) -> None:
    """The real thing: the last coupon, then none."""
    await opened(coupons, total=1)
    given = (await client.post("/coupons/events/e/issuances", headers={"X-User-Id": "ana"})).json()
    page = await pressed(browser, str(client.base_url))
    assert given["code"] in await outcome_of(page, "pass")
    await page.get_by_label("You are").fill("bia")
    await page.get_by_role("button").click()
    assert await outcome_of(page, "fail") == "All are gone."


@pytest.fixture
async def moody() -> AsyncIterator[Callable[..., Any]]:
    """Start a moody server; its URL."""
    running = []

    async def start(*answers: Answer) -> tuple[str, Moody]:
        server = Moody(*answers)
        context = served(server.app)
        running.append(context)
        return str((await context.__aenter__()).base_url), server

    yield start
    for context in running:
        await context.__aexit__(None, None, None)


async def test_the_page_asks_again_under_one_key_when_it_is_crowded(
    moody: Callable[..., Any], browser: "Browser"
) -> None:
    url, server = await moody((503, {}, {"retry-after": "1"}))
    page = await pressed(browser, url)
    assert await outcome_of(page, "wait")
    await wait_for(lambda: server.keys, "the first try")
    server.answers[:] = [WON]
    assert WON[1]["code"] in await outcome_of(page, "pass")
    assert len(set(server.keys)) == 1
    assert server.times[1] - server.times[0] >= 1


async def test_the_page_never_turns_silence_into_a_fail(moody: Callable[..., Any], browser: "Browser") -> None:
    url, server = await moody(SILENCE, WON)
    page = await pressed(browser, url)
    assert WON[1]["code"] in await outcome_of(page, "pass")
    assert len(set(server.keys)) == 1


async def test_the_simulated_crowd_buys_and_stops_when_told(client: httpx.AsyncClient, coupons: Coupons) -> None:
    run = Run(hub=coupons.hub, settings=Settings(), url=str(client.base_url))
    crowd = asyncio.create_task(world(run))

    async def some() -> bool:
        events = [await coupons.event(event_id) for event_id in await coupons.live()]
        return any(event.issued > 3 for event in events)

    await wait_for(some, "some coupons")
    run.stopping.set()
    await crowd


async def test_the_simulated_crowd_goes_on_after_a_close_that_was_refused(
    app: FastAPI, coupons: Coupons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by chaos: it waited for ever to settle an event that was still open, and there was no other."""
    monkeypatch.setattr(simulated, "KEPT_SECONDS", 0.05)
    monkeypatch.setattr(simulated, "CROWD", 1)
    closes: list[str] = []

    async def forgetful(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith(":close") and not closes:
            closes.append(scope["path"])
            await Response(status_code=503)(scope, receive, send)
            return
        await app(scope, receive, send)

    async with served(forgetful) as web:
        run = Run(hub=coupons.hub, settings=Settings(), url=str(web.base_url))
        crowd = asyncio.create_task(simulated.world(run))
        async with persisting(coupons):
            await wait_for(lambda: settled(coupons, closes), "the end of that event")
        run.stopping.set()
        await crowd


async def settled(coupons: Coupons, closes: list[str]) -> bool:
    """The event whose closing was refused is over."""
    if not closes:
        return False
    event = await coupons.event(closes[0].rpartition("/")[2].partition(":")[0])
    return event.stored == "settled"
