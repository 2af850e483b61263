"""What time brings about: events end, coupons expire, dead letters are noted, cancelled units go back after all."""

from . import Coupons
from .events import close
from .letters import note
from .redemption import EXPIRE_MAX, expire, give_back, not_given_back


async def tend(coupons: Coupons) -> None:
    """Once over everything."""
    for event_id in await coupons.live():
        event = await coupons.event(event_id)
        if event.stored == "open" and event.state == "closed":
            await close(coupons, event_id)
        await note(coupons, event_id)
        for issuance in await not_given_back(coupons, event):
            await give_back(coupons, issuance)
    while await expire(coupons) == EXPIRE_MAX:
        pass
