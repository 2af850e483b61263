"""Every key Pix owns."""

from lastro.core.keys import Key

PERMANENT: tuple[str, ...] = ("{pix}:pix_payments",)
"""What has no life of its own, as glob patterns; everything else must expire."""


def payment(end_to_end_id: str) -> Key:
    """String, the amount in cents; lives as long as a repeat is recognised."""
    return Key(f"{{pix}}:payment:{end_to_end_id}")


def stream() -> Key:
    """Stream ``pix_payments``, one entry per submitted payment; permanent."""
    return Key("{pix}:pix_payments")
