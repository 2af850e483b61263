"""What does not add up, and where."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "missing_response",
    "extra_response",
    "wrong_amount",
    "orphan_hold",
    "stuck_pending",
    "skewed_counter",
    "wrong_balance",
    "over_returned",
    "lost_story",
    "unreadable",
    "not_compared",
]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that does not add up, and where."""

    kind: Kind
    id: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}: {self.detail}"
