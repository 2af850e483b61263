"""Pix: a stream entry is a script's batch; a field a kind, a line ``cents payer payee id`` a movement."""

from collections.abc import Iterator, Mapping

from lastro.core.errors import Invalid
from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.ids import name_of, named_id
from lastro.ledger.model.records import U128_MAX

from .movement import Kind, Movement, Subject, account

CENTRAL_BANK, OUTSIDE = "pix:central-bank", "pix:outside"
ISPB_CHARS = 8


def pix_movements(fields: Mapping[bytes, bytes]) -> Iterator[Movement]:
    """What an entry moved. Raises Invalid, naming the kind and the line."""
    for kind, lines in fields.items():
        for line in lines.decode().split("\n"):
            try:
                cents, payer, payee, name = line.split(" ", 3)
                movement = _movement(kind.decode(), int(cents), payer, payee, name)
            except ValueError:
                reason = f"must be lines 'cents payer payee id', not {line!r}"
                raise Invalid(field=kind.decode(), reason=reason) from None
            yield movement


def _movement(kind: str, cents: int, payer: str, payee: str, name: str) -> Movement:
    if kind == "confirmed":
        backend = account(f"pix:backend:{payee}", Kind.PIX_BACKEND)
        return Movement.of(f"pix:confirmed:{name}", cents, account(OUTSIDE, Kind.PIX_OUTSIDE), backend)
    debit, credit = (
        account(CENTRAL_BANK, Kind.PIX_CENTRAL_BANK) if ispb == "-" else account(f"pix:{ispb}", Kind.PIX_PARTICIPANT)
        for ispb in (payer, payee)
    )
    match kind:
        case "funded" | "drawn":
            return Movement.of(f"pix:{kind}:{payer}:{payee}:{name}", cents, debit, credit)
        case "returned":
            return Movement.of(f"pix:returned:{name}", cents, debit, credit)
        case "held" | "settled" | "released":
            held = Movement.of(f"pix:held:{name}", cents, debit, credit, TransferFlag.PENDING)
            if kind == "settled":
                return held.then(f"pix:settled:{name}", U128_MAX, TransferFlag.POST_PENDING_TRANSFER)
            if kind == "released":
                return held.then(f"pix:released:{name}", 0, TransferFlag.VOID_PENDING_TRANSFER)
            return held
        case _:
            raise ValueError(kind)


def _sum_of(account_id: int, side: str) -> str | None:
    if account_id == named_id(OUTSIDE):
        return "confirmed" if side == "debits" else None
    name = name_of(account_id).removeprefix("pix:")
    return f"{name}.{side}" if len(name) == ISPB_CHARS and name.isalnum() else None


PIX = Subject(name="pix", read=pix_movements, kinds=(Kind.PIX_PARTICIPANT, Kind.PIX_OUTSIDE), sum_of=_sum_of)
