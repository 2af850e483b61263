"""The key space: what a key is, and in which cluster slot it lives."""

import re
from binascii import crc_hqx
from typing import NewType

Key = NewType("Key", str)

SLOTS = 16_384
PERMANENT: tuple[str, ...] = (
    "lastro:queues",
    "lastro:api-keys",
    "lastro:checked",
    "queue:*",
    "*:delayed",
    "*:dead",
    "*:taken:*",
    "*:consumers",
)
"""What core keeps without a life of its own: queues, what stands beside them, API keys; all of it is bounded."""

OWNED: tuple[str, ...] = (
    "lastro:*",
    "queue:*",
    "*:delayed",
    "*:dead",
    "*:op:*",
    "*:taken:*",
    "*:consumers",
    "*:waited",
)
"""All of it, as glob patterns, for access lists: queues, what stands beside them, and the mark for WAIT."""

QUEUES = Key("lastro:queues")
"""Hash, name of a queue → the URL that opens it; one field per queue ever used, for ``lastro queue list``."""

CHECKED = Key("lastro:checked")
"""Hash, domain → ``ms|differences`` of its last ``lastro check``; one field per domain."""

API_KEYS = Key("lastro:api-keys")
"""Hash, id of an API key → its record as JSON, with the hashes of its secrets; at most ``access.keyring.KEYS_MAX``."""


def key_limit(key_id: str) -> Key:
    """String, the rate limit of an API key, as `limits` keeps it; expires."""
    return Key(f"lastro:api-limit:{key_id}")


def slot(key: str | bytes) -> int:
    """The cluster slot of a key: CRC-16/XMODEM of its ``{tag}``, or of all of it, modulo 16,384 (cluster spec)."""
    raw = key.encode() if isinstance(key, str) else key
    start = raw.find(b"{")
    if start >= 0:
        end = raw.find(b"}", start + 1)
        if end > start + 1:
            raw = raw[start + 1 : end]
    return crc_hqx(raw, 0) % SLOTS


def beside(queue: str, what: str) -> Key:
    """A key in the slot of a queue's own: ``pix_payments`` → ``{pix_payments}:dead``.

    ``delayed`` sorted set, due ms → packed message · ``dead`` stream of dead letters · ``op:<id>`` string, id of the
    message published under that operation id, expires · ``relaying`` string, who passes this log on, expires · of a
    list: ``consumers`` sorted set, name → end of its lease in ms, and ``taken:<name>`` list, what that consumer has in
    hand.
    """
    tagged = queue if re.search(r"\{[^}]+\}", queue) else f"{{{queue}}}"
    return Key(f"{tagged}:{what}")
