"""Entries of the change stream."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .records import Account, Balance, Transfer

Kind: TypeAlias = Literal["account", "transfer", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change, with its place in the stream.

    An account that was created; a transfer that was created; or a pending transfer that expired, at ``timestamp``.
    With a transfer come the balances of both accounts, right after it.
    """

    position: str
    kind: Kind
    timestamp: int
    account: Account | None = None
    transfer: Transfer | None = None
    debit_account: Balance | None = None
    credit_account: Balance | None = None


def decode_change(position: bytes, entry: dict[bytes, bytes]) -> Change:
    """From a stream entry: one field, named by the kind."""
    ((name, value),) = entry.items()
    if name == b"account":
        account = Account.decode(value)
        return Change(position=position.decode(), kind="account", timestamp=account.timestamp, account=account)
    transfer = Transfer.decode(value[:128])
    expired = name == b"expired"
    timestamp, end = transfer.timestamp, len(value)
    if expired:
        end -= 8
        timestamp = int.from_bytes(value[end:], "little")
    size = (end - 128) // 8  # 6 bytes each if all of them fit, else 16
    told = [int.from_bytes(value[at : at + size], "little") for at in range(128, end, size)]
    debit, credit = (
        Balance(
            debits_pending=four[0],
            debits_posted=four[1],
            credits_pending=four[2],
            credits_posted=four[3],
            timestamp=timestamp,
        )
        for four in (told[:4], told[4:])
    )
    return Change(
        position=position.decode(),
        kind="expired" if expired else "transfer",
        timestamp=timestamp,
        transfer=transfer,
        debit_account=debit,
        credit_account=credit,
    )
