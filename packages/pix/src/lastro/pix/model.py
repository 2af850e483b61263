"""What Pix talks about. Pure: no Redis, no clock, no I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment between two participants' settlement accounts."""

    end_to_end_id: str
    amount_cents: int
