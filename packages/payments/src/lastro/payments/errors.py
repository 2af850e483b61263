"""How payments says no."""

from lastro.core.errors import Invalid, NotFound, Refused


class BadPayment(Invalid):
    """{field}: {reason}."""

    code = "payments.bad_payment"


class UnknownPayment(NotFound):
    """There is no payment {correlation_id}."""

    code = "payments.unknown_payment"


class NotDead(Refused):
    """The payment {correlation_id} is {state}; only a dead one is replayed or discarded."""

    code = "payments.not_dead"
