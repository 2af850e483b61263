"""Every key payments owns."""

from lastro.core.keys import Key

PERMANENT: tuple[str, ...] = ("{payments}:payment_queue",)
"""What has no life of its own, as glob patterns; everything else must expire."""


def payment(correlation_id: str) -> Key:
    """String, the amount in cents; lives as long as a repeat is recognised."""
    return Key(f"{{payments}}:payment:{correlation_id}")


def queue() -> Key:
    """List ``payment_queue``: ids accepted and not yet claimed, oldest at the tail; permanent."""
    return Key("{payments}:payment_queue")
