"""What coupons talks about. Pure: no Redis, no clock, no I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuance:
    """One coupon of an event in one user's hands; ``seq`` counts from 1."""

    event_id: str
    user_id: str
    seq: int
