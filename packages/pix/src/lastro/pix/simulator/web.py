"""A bank that sends its payments over HTTP, as a program of its own would."""

import asyncio
import time

import httpx
import msgspec

from .world import World

EVERY_SECONDS = 1.0


async def pay_over_http(world: World, http: httpx.AsyncClient, per_second: int, ending: asyncio.Event) -> None:
    """Each second one bank sends its payments in one call; the same ones again when no answer comes.

    At the end the last ones are still sent until they are taken, unless the world itself stops.
    """
    while not ending.is_set():
        payer = world.chance.choice(world.banks)
        orders = [world.order(payer=payer) for _ in range(per_second)]
        world.expect([(order, time.monotonic()) for order in orders])
        body = b"\n".join(msgspec.json.encode(order) for order in orders)
        taken = False
        while not taken and not world.stopping.is_set():
            taken = await _taken(http, body)
            await asyncio.sleep(EVERY_SECONDS)


async def _taken(http: httpx.AsyncClient, body: bytes) -> bool:
    """False when it is too early, or nobody answered: the ids make a repeat harmless."""
    try:
        reply = await http.post("/pix/payments/bulk", content=body)
    except httpx.TransportError:
        return False
    return reply.is_success
