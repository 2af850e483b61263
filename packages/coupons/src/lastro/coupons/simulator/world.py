"""A crowd that comes by: what ``lastro up --simulate`` shows of coupons."""

import asyncio
import random
from itertools import count

import httpx
import structlog

from lastro.core.access.client import client
from lastro.core.worker import Run

from .client import Client, Manners

TOTAL = 330
CROWD = 600  # users of one event, over about a minute
PER_SECOND = 10
KEPT_SECONDS = 5.0  # an event stays closed for so long before it is settled

log = structlog.get_logger()


async def world(run: Run) -> None:
    """One event after another: a crowd twice its stock, some who come again, some who redeem or cancel."""
    while not run.url and not await run.pause(0.05):
        pass
    async with client(run.settings, run.url, timeout=10) as http:
        for number in count(1):
            if run.stopping.is_set():
                return
            try:
                await _event(run, http, f"simulated-{random.randrange(16**8):08x}-{number}")
            except httpx.HTTPError as error:
                log.warning("coupons.world_waits", reason=str(error) or type(error).__name__)
                await run.pause(1.0)


async def _event(run: Run, http: httpx.AsyncClient, event_id: str) -> None:
    made = await http.post("/coupons/events", json={"event_id": event_id, "total": TOTAL, "open": True})
    if made.is_error:
        log.warning("coupons.not_created", status=made.status_code)
        await run.pause(5.0)
        return
    visitor = Client(http, Manners(tries_max=4))
    async with asyncio.TaskGroup() as crowd:
        for _ in range(CROWD):
            if await run.pause(random.expovariate(PER_SECOND)):
                break
            crowd.create_task(_visit(run, visitor, event_id, f"user{random.randrange(CROWD)}"))
    while True:  # closed each time: that may have been refused, and what is open is never settled
        await http.post(f"/coupons/events/{event_id}:close")
        if await run.pause(KEPT_SECONDS) or (await http.post(f"/coupons/events/{event_id}:settle")).is_success:
            return


async def _visit(run: Run, visitor: Client, event_id: str, user_id: str) -> None:
    outcome = await visitor.attempt(event_id, user_id)
    if outcome.word != "won" or await run.pause(random.uniform(0.5, 3)):
        return
    path = f"/coupons/issuances/{outcome.about['issuance_id']}"
    chance = random.random()
    try:
        if chance < 0.4:  # noqa: PLR2004  # shares of a crowd
            await visitor.http.post(f"{path}:redeem", json={"order_ref": f"order-{user_id}"})
        elif chance < 0.5:  # noqa: PLR2004  # likewise
            await visitor.http.post(f"{path}:cancel")
    except httpx.HTTPError:
        return  # a visitor who goes away
