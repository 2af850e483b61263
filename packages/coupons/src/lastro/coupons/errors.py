"""How coupons says no."""

from lastro.core.errors import Busy, Forbidden, Invalid, LastroError, NotFound, Refused


class SoldOut(Refused):
    """The event {event_id} has no coupon left."""

    code = "coupons.sold_out"


class NotOpen(Refused):
    """The event {event_id} gives no coupons now: {reason}."""

    code = "coupons.not_open"


class EventOver(LastroError):
    """The event {event_id} is over."""

    code = "coupons.event_over"
    status = 410


class UnknownEvent(NotFound):
    """There is no event {event_id}."""

    code = "coupons.unknown_event"


class NotEligible(Forbidden):
    """This user may not have a coupon of {event_id}."""

    code = "coupons.not_eligible"


class NotAdmitted(Forbidden):
    """The event {event_id} admits from its waiting room: join it, and show its ticket."""

    code = "coupons.not_admitted"


class LimitReached(Refused):
    """This user has all the coupons of {event_id} that one user may have."""

    code = "coupons.limit_reached"


class KeyRequired(LastroError):
    """A user may have several coupons of {event_id}: name each attempt with an Idempotency-Key."""

    code = "coupons.key_required"
    status = 400


class KeyReused(Invalid):
    """This Idempotency-Key was used with another delta."""

    code = "coupons.key_reused"


class BadRequest(LastroError):
    """{field}: {reason}."""

    code = "coupons.bad_request"
    status = 400


class Recovering(Busy):
    """The event {event_id} is being recovered; ask again in {retry_after_seconds} s."""

    code = "coupons.recovering"


class NotDurable(Busy):
    """Too few copies of this coupon exist yet ({reason}): it may be yours. Ask again in {retry_after_seconds} s."""

    code = "coupons.outcome_unknown"


class NotOffered(Refused):
    """This server does not offer {durability}: {reason}."""

    code = "coupons.durability_not_offered"


class EventExists(Refused):
    """The event {event_id} exists: {reason}."""

    code = "coupons.event_exists"


class TooManyEvents(Refused):
    """There are {events_max} events that are not settled; settle one first."""

    code = "coupons.too_many_events"


class WrongState(Refused):
    """The event {event_id} is {state}: it cannot become {to}."""

    code = "coupons.wrong_state"


class TooSmall(Refused):
    """The event {event_id} has {stock} in stock: it cannot lose {by}."""

    code = "coupons.too_small"


class UnknownLetter(NotFound):
    """The event {event_id} has no dead letter {letter_id}."""

    code = "coupons.unknown_letter"


class UnknownCharge(NotFound):
    """There is no order {correlation_id} with a coupon."""

    code = "coupons.unknown_charge"


class UnknownIssuance(NotFound):
    """There is no coupon {issuance_id}."""

    code = "coupons.unknown_issuance"


class Pending(Busy):
    """This coupon is on its way into the database; ask again in {retry_after_seconds} s."""

    code = "coupons.pending"


class Taken(Refused):
    """The coupon {issuance_id} is {status}{by}."""

    code = "coupons.taken"


class OrderReleased(Refused):
    """The order {order_ref} gave the coupon {issuance_id} back before; a later order may use it."""

    code = "coupons.order_released"


class ChargeUnderWay(Refused):
    """The order {order_ref} is being charged beside the coupon {issuance_id}: its payment decides."""

    code = "coupons.charge_under_way"


class NotYours(Forbidden):
    """The coupon {issuance_id} is another user's."""

    code = "coupons.not_yours"


class OrderExists(Refused):
    """The order {correlation_id} exists, with another coupon or amount."""

    code = "coupons.order_exists"


class RoomFull(Busy):
    """The waiting room of {event_id} is full; ask again in {retry_after_seconds} s."""

    code = "coupons.room_full"
