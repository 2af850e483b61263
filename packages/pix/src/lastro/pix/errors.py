"""How Pix says no."""

from lastro.core.errors import Refused


class AlreadySubmitted(Refused):
    """The payment {end_to_end_id} was submitted with another amount."""

    code = "pix.already_submitted"
