"""What time brings about: events end, coupons expire, dead letters are noted, cancelled units go back after all."""

from lastro.core.clock import now_ms
from lastro.coupons import keys

from . import Coupons
from .events import end
from .letters import note
from .redemption import EXPIRE_MAX, expire, give_back, not_given_back

FORGET_MS = 60_000


async def tend(coupons: Coupons) -> None:
    """Once over everything."""
    live, named = await coupons.live(), await coupons.named()
    for event_id in set(named) - set(live):
        if named[event_id] < now_ms() - FORGET_MS:  # who began to create it died; who begins again names it again
            await coupons.hub.write.hdel(keys.LIVE, event_id)
    for event_id in live:
        event = await coupons.event(event_id)
        await end(coupons, event)
        await note(coupons, event_id)
        for issuance in await not_given_back(coupons, event):
            await give_back(coupons, issuance, event.coupon_id)
    while await expire(coupons) == EXPIRE_MAX:
        pass
