"""Every key the ledger owns."""

from lastro.core.keys import Key

PERMANENT: tuple[str, ...] = ("{ledger:*}:account:*",)
"""What has no life of its own, as glob patterns; everything else must expire."""


def account(ledger: str, account_id: int) -> Key:
    """String ``ledger:code``, one per account; permanent: an account is history."""
    return Key(f"{{ledger:{ledger}}}:account:{account_id}")
