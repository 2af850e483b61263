"""Every key coupons owns; the keys of an event share its slot."""

from lastro.core.keys import Key

PERMANENT: tuple[str, ...] = ("coupon:{*}:stock", "coupon:{*}:participants", "coupon:{*}:events")
"""What has no life of its own, as glob patterns; everything else must expire."""


def stock(event_id: str) -> Key:
    """String, coupons left, never below 0; permanent until the event is archived."""
    return Key(f"coupon:{{{event_id}}}:stock")


def participants(event_id: str) -> Key:
    """Hash user → seq, winners only; permanent until the event is archived."""
    return Key(f"coupon:{{{event_id}}}:participants")


def events(event_id: str) -> Key:
    """Stream, one entry per issuance, written with it; permanent until the event is archived."""
    return Key(f"coupon:{{{event_id}}}:events")
