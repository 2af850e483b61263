"""Which shard a participant is at home in, and which one a payment belongs to."""

from zlib import crc32

ISPB_DIGITS = slice(1, 9)


def home(ispb: str, shards: int) -> int:
    """Where a participant's money is kept, and where it pays from."""
    return crc32(ispb.encode()) % shards


def place_of(end_to_end_id: str, shards: int) -> int:
    """Where a payment is settled: its payer is in its id."""
    return home(end_to_end_id[ISPB_DIGITS], shards)
