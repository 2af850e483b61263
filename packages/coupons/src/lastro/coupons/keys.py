"""Every key coupons owns; the keys of an event share its slot, all of them live until it was settled and kept on."""

from lastro.core.keys import Key

PERMANENT: tuple[str, ...] = (
    "coupons:live",
    "{coupons:live}:issued",
    "coupons:relaying",
    "payments:charges",
    "coupon:{*}:stock",
    "coupon:{*}:participants",
    "coupon:{*}:meta",
    "coupon:{*}:events",
    "coupon:{*}:returned",
    "coupon:{*}:eligible",
    "coupon:{*}:room",
)
"""What has no life of its own, as glob patterns; settling an event gives it one. Everything else must expire."""

OWNED: tuple[str, ...] = (
    "coupons:live",
    "{coupons:live}:issued",
    "coupon:{*}:*",
    "rl:{*}",
    "payments:charges",
    "{payments}:payments:charges",
)
"""All that coupons touch, as glob patterns, for access lists; the last two ask payments for a charge."""

LIVE = Key("coupons:live")
"""Hash event → created ms: the events that are not settled, whose streams are read; at most ``events_max``."""

SETTLED = Key("{coupons:live}:issued")
"""String, coupons given by events that are settled, so that what was issued in all never falls; in LIVE's slot."""

RELAYING = Key("coupons:relaying")
"""Set, the events whose stream is passed on to a broker; one leaves when it is settled and all of it was."""


def stock(event_id: str) -> Key:
    """String, coupons left, never below 0; missing while the event is recovered."""
    return Key(f"coupon:{{{event_id}}}:stock")


def participants(event_id: str) -> Key:
    """Hash user, or user#2 for a second coupon → seq|issuance_id|code|issued_ms|epoch|key|; winners only."""
    return Key(f"coupon:{{{event_id}}}:participants")


def meta(event_id: str) -> Key:
    """Hash: the plan, total, state, seq, epoch, gen (grows when a sold-out answer may be wrong), version."""
    return Key(f"coupon:{{{event_id}}}:meta")


def events(event_id: str) -> Key:
    """Stream, the outbox: {winner, record} with every issuance, {changed} with every change; kept until settled."""
    return Key(f"coupon:{{{event_id}}}:events")


def returned(event_id: str) -> Key:
    """Hash issuance → ms: cancelled coupons whose unit went back into stock."""
    return Key(f"coupon:{{{event_id}}}:returned")


def eligible(event_id: str) -> Key:
    """Set of users that may have a coupon, where only some may."""
    return Key(f"coupon:{{{event_id}}}:eligible")


def room(event_id: str) -> Key:
    """Hash user → number in the waiting room, and its counter under ``#``; at most ``room_max``."""
    return Key(f"coupon:{{{event_id}}}:room")


def once(event_id: str, op_id: str) -> Key:
    """String, by how much an operator's act of that id changed the event; lives ``remember_seconds``."""
    return Key(f"coupon:{{{event_id}}}:op:{op_id}")


def rate(client: str) -> Key:
    """String, GCRA state of a client; lives until it may burst again."""
    return Key(f"rl:{{{client}}}")
