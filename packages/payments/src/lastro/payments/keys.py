"""Every key payments owns.

The names are the original document's where it has one. A cluster wants them in one slot: there the prefix is
``{payments}:``. What is stored here is the books: it stays until an operator purges it.
"""

from dataclasses import dataclass

from lastro.core.keys import Key

from .model import Processor

PERMANENT = (
    "*payment_queue",
    "*payments_by_date",
    "*payments_known",
    "*payments_totals:*",
    "*payments_in_flight:*",
    "*payments_owners",
    "*payments_health",
)
CLUSTER_PREFIX = "{payments}:"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys under one prefix."""

    prefix: str = ""

    @property
    def queue(self) -> Key:
        """List ``payment_queue``: ids accepted and not claimed, oldest at the tail; they leave by script only."""
        return Key(f"{self.prefix}payment_queue")

    @property
    def by_date(self) -> Key:
        """Sorted set ``payments_by_date``: ``processor|id|cents`` of each payment done, by requested_at in ms."""
        return Key(f"{self.prefix}payments_by_date")

    @property
    def known(self) -> Key:
        """Hash id → ``state|cents|processor|requested_at_ms|attempts|owner or reason``, of every payment."""
        return Key(f"{self.prefix}payments_known")

    def totals(self, processor: Processor) -> Key:
        """Hash ``<level><number>:n``, ``:c`` → count, cents per second, minute, hour, day (s, m, h, d) and all."""
        return Key(f"{self.prefix}payments_totals:{processor}")

    def in_flight(self, owner: str) -> Key:
        """Set of ids that this process has claimed."""
        return Key(f"{self.prefix}payments_in_flight:{owner}")

    @property
    def owners(self) -> Key:
        """Hash process → until when (ms, server time) its claims are its own."""
        return Key(f"{self.prefix}payments_owners")

    @property
    def health(self) -> Key:
        """Hash ``<processor>`` → ``failing|delay_ms``, ``<processor>:polled`` → when (ms) the last call was allowed."""
        return Key(f"{self.prefix}payments_health")
