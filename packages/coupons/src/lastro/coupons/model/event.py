"""An event: so many coupons, a window of time, and the rules by which they are given."""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Stored: TypeAlias = Literal["draft", "open", "paused", "closed", "settled", "recovering"]
"""What is kept; ``scheduled`` and ``sold_out`` follow from the clock and the stock."""
State: TypeAlias = Literal["draft", "scheduled", "open", "paused", "sold_out", "closed", "settled", "recovering"]
Durability: TypeAlias = Literal["memory", "fsync", "replica"]

EVENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
USER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,127}", re.ASCII)
PER_USER_MAX = 10
TOTAL_MAX = 10_000_000
AMOUNT_CENTS_MAX = (
    10**12
)  # what payments takes at most: an order of more would be refused there, after its coupon was kept
NEVER_MS = 0
MOMENT_MS_MAX = 253_402_300_799_999  # the end of the year 9999, the last that is written
NAME_MAX = 200

BEFORE: dict[Stored, tuple[Stored, ...]] = {
    "open": ("draft", "open", "paused"),
    "paused": ("open", "paused"),
    "closed": ("draft", "open", "paused", "closed"),
    "settled": ("closed", "settled"),
}
"""Where an event may come from on its way to a state; arriving twice is no change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an event is made of; all but the window stays as it was created."""

    event_id: str
    name: str = ""
    total: int
    per_user_limit: int = 1
    starts_ms: int = NEVER_MS
    ends_ms: int = NEVER_MS
    """Exclusive; 0 is never."""
    valid_until_ms: int = NEVER_MS
    """Until then an issued coupon may be redeemed; 0 is for ever."""
    discount_cents: int = 0
    """What a coupon takes off the amount of an order."""
    durability: Durability = "memory"
    returns_stock: bool = True
    """A cancelled coupon goes to somebody else while the event is open."""
    eligible_only: bool = False
    """Only users that were named may have one."""
    room_per_second: int = 0
    """Users admitted from the waiting room in a second; 0 is no waiting room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as it stands."""

    plan: Plan
    coupon_id: str
    stored: Stored
    lasting: Stored
    """What it is, or is again when its recovery is over."""
    stock: int
    total: int
    issued: int
    returned: int
    seq: int
    epoch: int
    generation: int
    version: int
    created_ms: int
    now_ms: int

    @property
    def state(self) -> State:
        """With what the clock and the stock say."""
        if self.stored != "open":
            return self.stored
        if self.plan.ends_ms and self.now_ms >= self.plan.ends_ms:
            return "closed"
        if self.now_ms < self.plan.starts_ms:
            return "scheduled"
        return "open" if self.stock > 0 else "sold_out"

    @property
    def adds_up(self) -> bool:
        """Every coupon is in stock or in somebody's hands."""
        return self.stock >= 0 and self.stock + self.issued - self.returned == self.total
