"""Every Redis key of Pix: the schema.

All keys of one engine live in one slot, so that one script can move money, records and messages together. The tag is
the payments stream's own name: ``pix_payments`` and ``{pix_payments}:accounts`` are in the same slot. On a server that
is not a cluster the original system's keys keep their original names; on a cluster they take the tag.
"""

from dataclasses import dataclass
from typing import Self

from lastro.core.keys import Key

PERMANENT = (
    "{*}:accounts",
    "{*}:answering",
    "{*}:answers",
    "{*}:archived",
    "{*}:backends",
    "{*}:counters",
    "{*}:dead",
    "{*}:deadlines",
    "{*}:funding:*",
    "{*}:latency",
    "{*}:minutes",
    "{*}:movements",
    "{*}:normal",
    "{*}:cents",
    "{*}:records:*",
    "*processed_count",
    "*total_amount",
    "*backend_bacen_response_*",
    "{*}:leaving",
    "{*}:arrived",
    "pix_payments",
    "pix_payments.*",
    "*source_list_*",
)
"""Balances, counters and registries are the engine's memory; streams and lists are trimmed by what they hold.

Records go by the act that remembers what they came to: an expiry would take money out of the books unseen.
"""
OWNED = (
    *("pix_payments", "{pix_payments}:*", "*processed_count", "*total_amount", "*backend_bacen_response_*"),
    *("source_list_*", "{source_list_*", "pix_payments.*", "{pix_payments.*"),
)
"""All that Pix touches under the names of its default settings, as glob patterns, for access lists."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one engine."""

    payments: Key
    """Stream, HIGH payments as they come; an entry goes when its effect is made."""
    tag: str
    prefix: str
    """What an original name begins with: nothing, or the tag on a cluster."""
    response_prefix: str

    @classmethod
    def of(cls, source: str, response_prefix: str, *, cluster: bool) -> Self:
        """The keys of the engine whose payments come in ``source``."""
        tag = source[source.find("{") + 1 :].partition("}")[0] if "{" in source else source
        return cls(Key(source), tag, f"{{{tag}}}:" if cluster else "", response_prefix)

    def _own(self, name: str) -> Key:
        return Key(f"{{{self.tag}}}:{name}")

    @property
    def normal(self) -> Key:
        """Stream, NORM payments; read only when no HIGH one waits."""
        return self._own("normal")

    @property
    def answers(self) -> Key:
        """Stream, the receivers' pacs.002."""
        return self._own("answers")

    @property
    def accounts(self) -> Key:
        """Hash, a participant's Conta PI: ``<ispb>`` free; ``:held :in :out :funded :drawn :off`` beside."""
        return self._own("accounts")

    @property
    def deadlines(self) -> Key:
        """Zset, the ids one batch accepted → the ms at which they expire; a member goes when it was swept."""
        return self._own("deadlines")

    @property
    def leaving(self) -> Key:
        """Hash, ``<to>:<ispb>`` → number and centavos of what left for another shard; 0 centavos when it is there."""
        return self._own("leaving")

    @property
    def arrived(self) -> Key:
        """Hash, ``<from>:<ispb>`` → number of the last sum that came from another shard."""
        return self._own("arrived")

    @property
    def movements(self) -> Key:
        """Stream, what moved on the books, one entry a script call; trimmed by age, unread entries stay.

        An entry has a field for each kind of movement, its value a line ``cents payer payee id`` for each of them:
        ``held``, ``settled`` and ``released`` (the same id), ``returned``, ``confirmed`` (an original message: no
        payer, the payee is its backend), ``funded`` and ``drawn`` (the other side is the central bank: ``-``).
        """
        return self._own("movements")

    @property
    def minutes(self) -> Key:
        """Zset, minute with records → the ms at which to archive or forget them; a member goes with its records."""
        return self._own("minutes")

    def records(self, minute: str) -> Key:
        """Hash, id → record, of all ids that carry this minute; forgotten after the window for repeats, all final."""
        return self._own(f"records:{minute}")

    @property
    def retaining(self) -> Key:
        """String, the worker whose turn it is to trim and archive; lives for its turn."""
        return self._own("retaining")

    @property
    def archived(self) -> Key:
        """Hash, sums over the records that are shortened or forgotten: what the check cannot read any more."""
        return self._own("archived")

    def returned(self, end_to_end_id: str) -> Key:
        """Hash, what was given back of one payment; lives a day longer than returns are taken."""
        return self._own(f"returned:{end_to_end_id}")

    def funding(self, ispb: str) -> Key:
        """Hash, act → amount, each time this account was funded or drawn on; for good: a repeat may be a year late."""
        return self._own(f"funding:{ispb}")

    @property
    def counters(self) -> Key:
        """Hash, outcome → count."""
        return self._own("counters")

    @property
    def latency(self) -> Key:
        """Hash, ms from received to final → count."""
        return self._own("latency")

    @property
    def answering(self) -> Key:
        """Hash, ms from asked to answered → count."""
        return self._own("answering")

    @property
    def count(self) -> Key:
        """String, payments settled (the original system's name)."""
        return Key(f"{self.prefix}processed_count")

    @property
    def amount(self) -> Key:
        """String, what they came to, as exact decimal text (the original system's name)."""
        return Key(f"{self.prefix}total_amount")

    @property
    def cents(self) -> Key:
        """String, the same in centavos."""
        return self._own("cents")

    @property
    def backends(self) -> Key:
        """Set, the outboxes there are."""
        return self._own("backends")

    def outbox(self, backend_id: str) -> Key:
        """Stream, the answers for one backend (the original system's name); trimmed by age, unread ones later."""
        return Key(f"{self.prefix}{self.response_prefix}{backend_id}")

    def backend_of(self, outbox: str) -> str:
        """Whose outbox this is."""
        return outbox.removeprefix(f"{self.prefix}{self.response_prefix}")

    def readers(self, backend_id: str) -> Key:
        """Zset, who pulls from an outbox → when forgotten; lives as long."""
        return self._own(f"readers:{backend_id}")

    def tokens(self, ispb: str) -> Key:
        """String, the ms at which a participant's bucket is full again; lives until then."""
        return self._own(f"tokens:{ispb}")

    @property
    def dead(self) -> Key:
        """Stream, entries nobody could process, with reason; bounded."""
        return self._own("dead")
