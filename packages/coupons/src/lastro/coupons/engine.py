"""What coupons can do. Each method is one business act and at most one script."""

from dataclasses import dataclass

from lastro.core.redis import Hub

from . import keys, scripts
from .errors import SoldOut, UnknownEvent
from .model import Issuance
from .settings import CouponsSettings


@dataclass(frozen=True, slots=True)
class Coupons:
    """Coupons on a hub."""

    hub: Hub
    settings: CouponsSettings

    async def open_event(self, event_id: str, total: int) -> None:
        """Open an event with so many coupons; an event that exists stays as it is."""
        await scripts.open_event(self.hub.write, stock=keys.stock(event_id), total=total)

    async def issue(self, event_id: str, user_id: str) -> Issuance:
        """Give the user one coupon, once; asking again gives the same one. Raises SoldOut, UnknownEvent."""
        seq = await scripts.issue(
            self.hub.write,
            stock=keys.stock(event_id),
            participants=keys.participants(event_id),
            events=keys.events(event_id),
            user_id=user_id,
        )
        if seq > 0:
            return Issuance(event_id=event_id, user_id=user_id, seq=seq)
        raise SoldOut(event_id=event_id) if seq == 0 else UnknownEvent(event_id=event_id)
