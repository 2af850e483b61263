"""How the ledger says no."""

from lastro.core.errors import Refused


class ExistsDifferently(Refused):
    """The account {id} exists with another ledger or code."""

    code = "ledger.exists_differently"
