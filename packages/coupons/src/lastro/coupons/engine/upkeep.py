"""What time brings about: events end, coupons expire, dead letters are noted."""

from . import Coupons
from .events import close
from .letters import note
from .redemption import EXPIRE_MAX, expire


async def tend(coupons: Coupons) -> None:
    """Once over everything."""
    for event_id in await coupons.live():
        event = await coupons.event(event_id)
        if event.stored == "open" and event.state == "closed":
            await close(coupons, event_id)
        await note(coupons, event_id)
    while await expire(coupons) == EXPIRE_MAX:
        pass
