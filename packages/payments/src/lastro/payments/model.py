"""What payments talks about. Pure: no Redis, no clock, no I/O.

The contract is that of Rinha de Backend 2025, a public Brazilian challenge; where its text and code disagree, the code.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

Processor = Literal["default", "fallback"]
PROCESSORS: tuple[Processor, Processor] = ("default", "fallback")

State = Literal["queued", "in_flight", "done", "dead", "discarded"]

AMOUNT_CENTS_MAX = 10**12  # R$ 10 bn: nine million of them fit in the 64 bits of a total


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as it stands: ``requested_at_ms`` is what was or will be sent, and all the summaries go by."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    correlation_id: str
    amount_cents: int
    state: State
    processor: Processor | None = None
    """Where it was sent, or will be; none while it is queued."""
    requested_at_ms: int | None = None
    attempts: int = 0
    reference: str | None = None
    """What whoever had it paid calls it; it travels to the stream of final payments."""
    reason: str | None = None
    """Of a dead one: why the processor refused it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A payment that this process must settle at this processor: the exact record of what is sent."""

    correlation_id: str
    amount_cents: int
    processor: Processor
    requested_at_ms: int
    attempts: int = 1
    unknown: bool = False
    """An earlier try may have been accepted: it may not leave this processor before that is known."""


def fee_cents(amount_cents: int, rate: Decimal) -> int:
    """``amount × rate`` as whole cents, half-even: what is posted for one payment."""
    return int((amount_cents * rate).to_integral_value(ROUND_HALF_EVEN))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What one processor charged in a window."""

    requests: int
    amount_cents: int

    def fee(self, rate: Decimal) -> Decimal:
        """``amount × rate``, exact."""
        return Decimal(self.amount_cents) / 100 * rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of a processor: from its own word (at most every 5 s) and from its answers (at once)."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    failing: bool = False
    delay_ms: int = 0
    """What an answer takes at least."""


FALLBACK_ADVANTAGE_MS = 1_300
"""The default may be this much slower before the fallback is worth its fee (see `route`)."""

EDGE_MS = 1_350
"""An answer later than this may fall between the two books of a check (reference §8.10: 1.5 s preview, 2 s final)."""

PATIENCE_MS_PER_POINT = 1_100
"""How long a payment is held for a failing default, for each per cent of its amount that the fallback keeps more: with
10 % to save, an outage of ten seconds is outlasted, its edges included."""


def patience(fee_default: Decimal, fee_fallback: Decimal, max_ms: int) -> int:
    """How many ms a payment is worth holding for the default."""
    return max(0, min(max_ms, int((fee_fallback - fee_default) * 100 * PATIENCE_MS_PER_POINT)))


def route(default: Health, fallback: Health, *, held_ms: int, patience_ms: int) -> Processor | None:
    """Where the next payment goes, or None: hold it. By expected profit.

    The default's fee is lower by 3 to 10 % of the amount, so it is preferred while it answers; a payment that is held
    too long risks the drain at the end (it earns nothing), one that is answered late an inconsistency (35 % of
    everything). Hence: the default if it works and is not much slower; a fallback off the edge of the checks at once
    if the default works but is too slow; else hold, for ``patience_ms`` at most, and then whichever works.
    """
    if not default.failing and (fallback.failing or default.delay_ms <= fallback.delay_ms + FALLBACK_ADVANTAGE_MS):
        return "default"
    if not default.failing and fallback.delay_ms < EDGE_MS:
        return "fallback"
    if held_ms < patience_ms:
        return None
    if not fallback.failing:
        return "fallback"
    return None if default.failing else "default"
