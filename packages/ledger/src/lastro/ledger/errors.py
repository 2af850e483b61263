"""How the ledger says no. In a batch, what a rule refuses is no error but an ``Outcome`` with its code."""

from lastro.core.errors import Busy, Invalid, LastroError, NotFound, Refused


class TooMuchData(Invalid):
    """{field}: {reason}."""

    code = "ledger.too_much_data"


class UnknownAccount(NotFound):
    """There is no account {account_id}."""

    code = "ledger.unknown_account"


class UnknownTransfer(NotFound):
    """There is no transfer {transfer_id}."""

    code = "ledger.unknown_transfer"


class ChangesGone(LastroError):
    """Changes after {after} may be gone: the stream begins later. 0 is the oldest kept; queries have the rest."""

    code = "ledger.changes_gone"
    status = 410


class TooManyReaders(Busy):
    """{readers_max} follow the changes through this process, and no more may; ask again in {retry_after_seconds} s."""

    code = "ledger.too_many_readers"


class AccountRefused(Refused):
    """The account {id} was not created: {reason}."""

    code = "ledger.account_refused"


class TransferRefused(Refused):
    """The transfer {id} was not created: {reason}."""

    code = "ledger.transfer_refused"


class CannotCross(Invalid):
    """The transfer {id} cannot go from one shard to another: {reason}."""

    code = "ledger.cannot_cross"


class PostingRefused(Invalid):
    """A movement from {field} cannot be posted: the ledger says {reason} to transfer {id}."""

    code = "ledger.posting_refused"
