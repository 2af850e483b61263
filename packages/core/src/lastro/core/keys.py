"""The key space: what a key is, and in which cluster slot it lives."""

from binascii import crc_hqx
from typing import NewType

Key = NewType("Key", str)

SLOTS = 16_384


def slot(key: str | bytes) -> int:
    """The cluster slot of a key: CRC-16/XMODEM of its ``{tag}``, or of all of it, modulo 16,384 (cluster spec)."""
    raw = key.encode() if isinstance(key, str) else key
    start = raw.find(b"{")
    if start >= 0:
        end = raw.find(b"}", start + 1)
        if end > start + 1:
            raw = raw[start + 1 : end]
    return crc_hqx(raw, 0) % SLOTS
