"""How payments says no."""

from lastro.core.errors import Refused


class AlreadyAccepted(Refused):
    """The payment {correlation_id} was accepted with another amount."""

    code = "payments.already_accepted"
