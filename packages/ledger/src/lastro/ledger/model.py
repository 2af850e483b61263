"""What the ledger talks about. Pure: no Redis, no clock, no I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account; ``ledger`` and ``code`` are the caller's numbers for its currency and its kind."""

    id: int
    ledger: int
    code: int
