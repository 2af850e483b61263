"""What the engine remembers of a payment: one line of text, readable at night with HGET.

``<state> cents payer payee received_ms accepted due final code by``; the three times are ms after ``received_ms``. The
state is A accepted, S settled, R rejected, X expired, C settled and confirmed as an original message (its payee is the
backend). A lower-case state is archived: only the first five are left.
"""

from dataclasses import dataclass
from typing import Self

from .payment import STATES, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
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
        """Read a record. An archived one has no times but the first."""
        letter, cents, payer, payee, received, *rest = line.split(" ")
        start = int(received)
        if not rest:
            return cls(id=payment_id, letter=letter, cents=int(cents), payer=payer, payee=payee, received_ms=start)
        accepted, due, final, code, by = rest
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
