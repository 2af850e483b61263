"""A movement: which accounts there are, and which transfers it makes.

Every id is derived from the name that the domain gave, so an entry posted twice is posted once. A transfer that settles
or releases comes with the pending one before it, which exists already unless the entries came out of order.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self, TypeAlias

from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.ids import named_id
from lastro.ledger.model.records import Account, Transfer

BRL = 986
"""Number of the currency (ISO 4217) and so of the ledger; amounts are centavos."""


class Kind(IntEnum):
    """Codes of the accounts; a transfer has the higher one of its two accounts'."""

    PIX_PARTICIPANT = 101
    """A participant's settlement account at the central bank: credits are what it got, debits what it paid."""
    PIX_CENTRAL_BANK = 102
    """The other side of what participants put in and take out."""
    PIX_OUTSIDE = 103
    """The payers of the original messages, who are not told."""
    PIX_BACKEND = 104
    """A backend that original messages are confirmed to."""
    PAYMENTS_PROCESSOR = 201
    """What a processor took (debits), and what it kept for itself (credits)."""
    PAYMENTS_RECEIVED = 202
    """What was paid."""
    PAYMENTS_FEES = 203
    """What the processors kept."""


@dataclass(frozen=True, slots=True)
class Movement:
    """Money between two accounts, in one step or two."""

    name: str
    """``domain:kind:id of the act there``."""
    accounts: tuple[Account, Account]
    transfers: tuple[Transfer, ...]

    @classmethod
    def of(cls, name: str, cents: int, debit: Account, credit: Account, flags: int = 0) -> Self:
        """One transfer, by a name that no other has."""
        transfer = Transfer(
            id=named_id(name),
            debit_account_id=debit.id,
            credit_account_id=credit.id,
            amount=cents,
            ledger=BRL,
            code=max(debit.code, credit.code),
            flags=flags,
        )
        return cls(name, (debit, credit), (transfer,))

    def then(self, name: str, amount: int, flag: TransferFlag) -> "Movement":
        """The same, and the transfer that settles or releases it."""
        (pending,) = self.transfers
        settling = Transfer(id=named_id(name), pending_id=pending.id, amount=amount, flags=flag)
        return Movement(name, self.accounts, (pending, settling))

    @property
    def posted(self) -> tuple[int, int, int]:
        """Debit account, credit account, and what of this one is posted."""
        first, last = self.transfers[0], self.transfers[-1]
        settles = not first.flags & TransferFlag.PENDING or bool(last.flags & TransferFlag.POST_PENDING_TRANSFER)
        return first.debit_account_id, first.credit_account_id, first.amount if settles else 0


def account(name: str, kind: Kind) -> Account:
    """The account of that name."""
    return Account(id=named_id(name), ledger=BRL, code=kind)


Reading: TypeAlias = Callable[[Mapping[bytes, bytes]], Iterable[Movement]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Another domain, as far as this ledger keeps its books."""

    name: str
    read: Reading
    """A stream entry's movements. Raises Invalid."""
    kinds: Sequence[Kind]
    """The accounts whose sums the domain tells itself, too."""
    sum_of: Callable[[int, str], str | None]
    """What the domain calls the debits, or the credits, of an account; None if it does not tell them."""
