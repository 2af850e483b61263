"""Money is an integer of the smallest unit. Text becomes cents here, and cents become text; nothing else converts.

Decimal text is read as the documents of the domains write it: digits, one dot, at most two decimals. No sign, no
exponent, no other alphabet's digits, no ``nan`` (reference: the original Pix demo accepted all of them).
"""

import re
from typing import NewType

from lastro.core.errors import Invalid

Cents = NewType("Cents", int)

CENTS_MAX = 999_999_999_999  # R$ 9,999,999,999.99: ten digits and two, the longest amount the SPI's schema admits

_DECIMAL = re.compile(r"(\d{1,10})(?:\.(\d{1,2}))?", re.ASCII)


def cents(text: str, *, field: str = "amount") -> Cents:
    """``"10.5"`` → 1050. Raises Invalid (naming ``field``) for anything but up to ten digits and two decimals."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise Invalid(field=field, reason="not an amount: digits, a dot, at most two decimals")
    return Cents(int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0")))


def decimal(amount_cents: int) -> str:
    """1050 → ``"10.50"``; negative amounts (differences, net positions) keep their sign."""
    sign = "-" if amount_cents < 0 else ""
    whole, part = divmod(abs(amount_cents), 100)
    return f"{sign}{whole}.{part:02d}"


def brl(amount_cents: int) -> str:
    """Centavos as a Brazilian reads them: ``R$ 1.234,56``."""
    whole, part = decimal(amount_cents).split(".")
    return f"R$ {int(whole):,}".replace(",", ".") + f",{part}"
