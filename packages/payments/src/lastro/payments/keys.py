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
    "*payments_final",
    "*payments_dead",
    "*payments_doubled",
    "*payments_purged",
    "*payments:charges",
)
OWNED = ("payment_queue", "payments_*", "payments:charges", "{payments}:*")
"""All that payments touch, as glob patterns, for access lists."""
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
        """Hash id → ``state|cents|processor|requested_at_ms|attempts|reference|note``, of every payment.

        The note is the owner of one in flight, the reason of a dead one, the fee in cents of one done, as it was told
        to whoever follows. Of one that is queued the fourth is since when it waits (ms), and the third empty; one that
        was claimed from the queue has ``owner@since``.
        """
        return Key(f"{self.prefix}payments_known")

    def totals(self, processor: Processor) -> Key:
        """Hash ``<level><number>:n``, ``:c`` → count, cents per second, minute, hour, day (s, m, h, d) and all."""
        return Key(f"{self.prefix}payments_totals:{processor}")

    @property
    def purged(self) -> Key:
        """Hash processor → cents of the payments that a purge forgot: other domains' books still have them."""
        return Key(f"{self.prefix}payments_purged")

    def in_flight(self, owner: str) -> Key:
        """Set of ids that this process has claimed."""
        return Key(f"{self.prefix}payments_in_flight:{owner}")

    @property
    def final(self) -> Key:
        """Stream: one entry for each payment that came to its end, in that order, for other domains to follow.

        Every entry has all fields: ``correlation_id`` (a UUID, lower case: what a follower is idempotent by), ``state``
        (``done``, or ``dead``: refused for what it is; an operator's replay may make it ``done`` later, an entry of its
        own), ``processor`` (``default`` or ``fallback``), ``amount_cents``, ``fee_cents`` (what the processor keeps of
        it, rounded half-even to cents; 0 when dead), ``requested_at_ms`` (what the processor has), ``reference``
        (what whoever had it paid called it, or empty), ``reason`` (of a dead one, else empty).

        A log (``stream://payments_final?group=…&keep=yes``): an entry goes when every group has done with it, and at
        the latest when ``final_max`` newer ones exist. The books still have it: `engine.republish` appends anew.
        """
        return Key(f"{self.prefix}payments_final")

    @property
    def charges(self) -> Key:
        """Stream: what other domains ask to have paid; worked off by ``payments.take``, group ``payments``.

        Fields: ``correlation_id`` (a UUID, lower case: asked again it changes nothing), ``amount_cents``, ``reference``
        (at most 64 of letters, digits and ``_.:/-``, may be missing; it comes back in ``final``).
        """
        return Key(f"{self.prefix}payments:charges")

    @property
    def dead(self) -> Key:
        """Sorted set of the ids that a processor refused for what they are, by when (ms)."""
        return Key(f"{self.prefix}payments_dead")

    @property
    def doubled(self) -> Key:
        """Hash id → ``processor|cents|requested_at_ms`` of a charge that came to light after another one."""
        return Key(f"{self.prefix}payments_doubled")

    @property
    def owners(self) -> Key:
        """Hash process → until when (ms, server time) its claims are its own."""
        return Key(f"{self.prefix}payments_owners")

    @property
    def health(self) -> Key:
        """Hash ``<processor>`` → ``failing|delay_ms``, ``<processor>:polled`` → when (ms) the last call was allowed."""
        return Key(f"{self.prefix}payments_health")
