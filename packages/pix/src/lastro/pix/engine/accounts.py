"""Participants and their settlement accounts at the central bank (Conta PI)."""

from collections.abc import Mapping
from dataclasses import dataclass

from lastro.core.errors import Invalid
from lastro.pix import scripts
from lastro.pix.errors import AccountFull, NoSuchParticipant, NotEnoughFunds, SameActOtherAmount

from .intake import participant
from .pix import Pix

ACCOUNT_MAX_CENTS = 2**53 - 1  # Lua counts exactly to there: R$ 90 trillion
ACT_MAX = 64
PARTS = ("held", "funded", "drawn", "in", "out", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One Conta PI, in centavos."""

    ispb: str
    free_cents: int
    held_cents: int
    funded_cents: int
    in_cents: int
    out_cents: int
    active: bool

    @property
    def expected_cents(self) -> int:
        """What free and held must come to."""
        return self.funded_cents + self.in_cents - self.out_cents


async def fund(pix: Pix, ispb: str, amount_cents: int, act: str) -> Account:
    """Put money into a participant's account, or take it out; ``act`` names this, and a repeat changes nothing, ever.

    A new participant begins here. Raises NotEnoughFunds, AccountFull, SameActOtherAmount.
    """
    if not act or len(act) > ACT_MAX:
        raise Invalid(field="act", reason=f"one to {ACT_MAX} characters that name this act")
    if abs(amount_cents) > ACCOUNT_MAX_CENTS:
        raise Invalid(field="amount_cents", reason="more than an account can hold")
    ispb = participant(ispb)
    word = await scripts.fund(
        pix.hub.write,
        accounts=pix.keys.accounts,
        funding=pix.keys.funding(ispb),
        movements=pix.keys.movements,
        ispb=ispb,
        amount_cents=amount_cents,
        cents_max=ACCOUNT_MAX_CENTS,
        act=act,
    )
    match word:
        case "conflict":
            raise SameActOtherAmount(ispb=ispb, id=act)
        case "short":
            raise NotEnoughFunds(ispb=ispb, spi="AM04")
        case "full":
            raise AccountFull(ispb=ispb)
        case "done" | "repeat":
            return await account(pix, ispb)


async def suspend(pix: Pix, ispb: str, *, active: bool) -> Account:
    """Let a participant pay, receive and give back, or not (DS27); what is on its way still ends.

    Raises NoSuchParticipant.
    """
    ispb = participant(ispb)
    if await scripts.suspend(pix.hub.write, accounts=pix.keys.accounts, ispb=ispb, active=int(active)) == "unknown":
        raise NoSuchParticipant(ispb=ispb)
    return await account(pix, ispb)


async def account(pix: Pix, ispb: str) -> Account:
    """One account. Raises NoSuchParticipant."""
    ispb = participant(ispb)
    fields = [ispb, *(f"{ispb}:{part}" for part in PARTS)]
    values = await pix.read.hmget(pix.keys.accounts, fields)
    if values[0] is None:
        raise NoSuchParticipant(ispb=ispb)
    return _account(ispb, dict(zip(("free", *PARTS), values, strict=True)))


async def accounts(pix: Pix) -> list[Account]:
    """All participants' accounts, by ISPB."""
    return accounts_in(await pix.read.hgetall(pix.keys.accounts))


def accounts_in(fields: Mapping[bytes, bytes]) -> list[Account]:
    """The same in a hash that was read, all at one moment."""
    parts: dict[str, dict[str, bytes | None]] = {}
    for field, value in fields.items():
        ispb, _, part = field.decode().partition(":")
        parts.setdefault(ispb, {})[part or "free"] = value
    return [_account(ispb, found) for ispb, found in sorted(parts.items())]


def _account(ispb: str, parts: dict[str, bytes | None]) -> Account:
    return Account(
        ispb=ispb,
        free_cents=int(parts.get("free") or 0),
        held_cents=int(parts.get("held") or 0),
        funded_cents=int(parts.get("funded") or 0) - int(parts.get("drawn") or 0),
        in_cents=int(parts.get("in") or 0),
        out_cents=int(parts.get("out") or 0),
        active=not parts.get("off"),
    )
