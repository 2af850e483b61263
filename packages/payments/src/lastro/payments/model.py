"""What payments talks about. Pure: no Redis, no clock, no I/O."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment to be charged once, at one of two processors."""

    correlation_id: UUID
    amount_cents: int
