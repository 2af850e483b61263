"""How coupons says no."""

from lastro.core.errors import NotFound, Refused


class SoldOut(Refused):
    """The event {event_id} has no coupon left."""

    code = "coupons.sold_out"


class UnknownEvent(NotFound):
    """There is no event {event_id}."""

    code = "coupons.unknown_event"
