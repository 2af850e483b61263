"""What other domains' streams tell, as double entry: which accounts there are, and which transfers a movement makes.

Every id is derived from the name that the domain gave, so an entry posted twice is posted once. A transfer that settles
or releases comes with the pending one before it, which exists already unless the entries came out of order.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from lastro.core.errors import Invalid

from .codes import TransferFlag
from .ids import named_id
from .records import U128_MAX, Account, Transfer

BRL = 986
"""Number of the currency (ISO 4217) and so of the ledger; amounts are centavos."""


class Kind(IntEnum):
    """Codes of the accounts and of the transfers."""

    PIX_PARTICIPANT = 101
    """A participant's settlement account at the central bank: credits are what it has, debits what it paid."""
    PIX_CENTRAL_BANK = 102
    """The other side of what participants put in and take out."""
    PIX_OUTSIDE = 103
    """The payers of the original messages, who are not told."""
    PIX_BACKEND = 104
    """A backend that original messages are confirmed to."""


CENTRAL_BANK, OUTSIDE = "pix:central-bank", "pix:outside"


@dataclass(frozen=True, slots=True)
class Movement:
    """Money between two accounts, in one step or two."""

    accounts: tuple[Account, Account]
    transfers: tuple[Transfer, ...]

    @classmethod
    def of(cls, act: str, name: str, cents: int, debit: Account, credit: Account, flags: int = 0) -> Self:
        """One transfer from an account to another."""
        return cls((debit, credit), (_transfer(f"{act}:{name}", cents, debit, credit, flags),))

    def then(self, act: str, name: str, amount: int, flag: TransferFlag) -> "Movement":
        """The same, and the transfer that settles or releases it."""
        (pending,) = self.transfers
        second = Transfer(id=named_id(f"{act}:{name}"), pending_id=pending.id, amount=amount, flags=flag)
        return Movement(self.accounts, (pending, second))

    @property
    def posted(self) -> tuple[int, int, int]:
        """Debit account, credit account, and what of this one is posted."""
        first, last = self.transfers[0], self.transfers[-1]
        settles = not first.flags & TransferFlag.PENDING or bool(last.flags & TransferFlag.POST_PENDING_TRANSFER)
        return first.debit_account_id, first.credit_account_id, first.amount if settles else 0


def _account(name: str, kind: Kind) -> Account:
    return Account(id=named_id(name), ledger=BRL, code=kind)


def _transfer(name: str, cents: int, debit: Account, credit: Account, flags: int) -> Transfer:
    return Transfer(
        id=named_id(name),
        debit_account_id=debit.id,
        credit_account_id=credit.id,
        amount=cents,
        ledger=BRL,
        code=max(debit.code, credit.code),
        flags=flags,
    )


def pix_movements(fields: Mapping[bytes, bytes]) -> Iterator[Movement]:
    """An entry of Pix's movements: a field a kind, a line ``cents payer payee id`` a movement. Raises Invalid."""
    for kind, lines in fields.items():
        for line in lines.decode().split("\n"):
            try:
                cents, payer, payee, name = line.split(" ", 3)
                yield _pix_movement(kind.decode(), int(cents), payer, payee, name)
            except ValueError:
                raise Invalid(
                    field=kind.decode(), reason=f"must be lines 'cents payer payee id', not {line!r}"
                ) from None


def _pix_movement(kind: str, cents: int, payer: str, payee: str, name: str) -> Movement:
    if kind == "confirmed":
        backend = _account(f"pix:backend:{payee}", Kind.PIX_BACKEND)
        return Movement.of("pix:confirmed", name, cents, _account(OUTSIDE, Kind.PIX_OUTSIDE), backend)
    debit, credit = (
        _account(CENTRAL_BANK, Kind.PIX_CENTRAL_BANK) if ispb == "-" else _account(f"pix:{ispb}", Kind.PIX_PARTICIPANT)
        for ispb in (payer, payee)
    )
    if kind in {"funded", "drawn"}:
        return Movement.of("pix:funded", f"{payer}:{payee}:{name}", cents, debit, credit)
    if kind == "returned":
        return Movement.of("pix:returned", name, cents, debit, credit)
    held = Movement.of("pix:held", name, cents, debit, credit, TransferFlag.PENDING)
    if kind == "held":
        return held
    if kind == "settled":
        return held.then("pix:settled", name, U128_MAX, TransferFlag.POST_PENDING_TRANSFER)
    if kind == "released":
        return held.then("pix:released", name, 0, TransferFlag.VOID_PENDING_TRANSFER)
    raise ValueError(kind)
