"""What the engine remembers of a payment: one line of text, readable at night with HGET.

``<state> cents payer payee received_ms accepted due final code by``; the three times are ms after ``received_ms``. The
state is A accepted, S settled, R rejected, X expired, C settled and confirmed as an original message (its payee is the
backend). A lower-case state is archived: only centavos and payee are left, and the payer when the id, which has
the minute, too, names another.
"""

from typing import Self

import msgspec

from .ids import minute_ms, minute_of
from .payment import STATES, State


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):  # check makes millions: a dataclass takes 2 us more
    """One payment or return, as remembered."""

    id: str
    letter: str
    cents: int
    payer: str
    payee: str
    received_ms: int
    accepted_ms: int = 0
    due_ms: int = 0
    final_ms: int = 0
    code: str = ""
    by: str = ""

    @classmethod
    def parse(cls, payment_id: str, line: str) -> Self:
        """Read a record; ValueError for what is none. An archived one has no times but the first."""
        if line[:1].islower():
            return cls._archived(payment_id, line)
        letter, cents, payer, payee, received, accepted, due, final, code, by = line.split(" ")
        if letter not in STATES:
            raise ValueError(letter)
        start = int(received)
        return cls(
            id=payment_id,
            letter=letter,
            cents=int(cents),
            payer=payer,
            payee=payee,
            received_ms=start,
            accepted_ms=start + int(accepted),
            due_ms=start + int(due),
            final_ms=0 if letter == "A" else start + int(final),
            code="" if code == "-" else code,
            by="" if by == "-" else by,
        )

    @classmethod
    def _archived(cls, payment_id: str, line: str) -> Self:
        letter, cents, payee, *payer = line.split(" ")
        if len(payer) > 1:
            raise ValueError(line)
        original = letter == "c"
        return cls(
            id=payment_id,
            letter=letter,
            cents=int(cents),
            payer="-" if original else payer[0] if payer else payment_id[1:9],
            payee=payee,
            received_ms=0 if original else minute_ms(minute_of(payment_id)),
        )

    @property
    def state(self) -> State:
        """The state by its name."""
        return STATES[self.letter.upper()]

    @property
    def archived(self) -> bool:
        """Whether its story is in the archive alone."""
        return self.letter.islower()

    @property
    def final(self) -> bool:
        """Whether nothing can change it any more."""
        return self.letter != "A"

    @property
    def is_return(self) -> bool:
        """Whether it gives another payment back; that one's id is then in ``by``."""
        return self.id.startswith("D")

    @property
    def is_original(self) -> bool:
        """Whether it came as an original message, without payer and payee."""
        return self.letter in "Cc"
