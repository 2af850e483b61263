"""What the scripts store, read back: see keys.py and scripts/parts/account_table.lua for the formats."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

LOG_SEGMENT = 1_023
"""Records of a log in one string."""
INDEX_SEGMENT = 1_000_000
"""Entries of an account's index in one string."""
PLACE_BYTES, BALANCE_BYTES, SMALL_BYTES = 6, 16, 6
ACCOUNT_BYTES = 58
STATUSES, PENDING, POSTED, VOIDED, EXPIRED = 8, 1, 2, 3, 4
"""What becomes of a transfer, below 8; the other is 0."""
_TAIL = Struct("<HI")


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """One account; of its indexes it has the newest entries, and how many are in the segments."""

    balances: tuple[int, int, int, int]
    flags: int
    debits_joined: int
    credits_joined: int
    debits_waiting: bytes
    credits_waiting: bytes

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the string under ``account:{id}``; its last byte says how wide the balances are."""
        debits_end = 1 + value[0]
        credits_end = debits_end + 1 + value[debits_end]
        size = BALANCE_BYTES if value[-1] else SMALL_BYTES
        at = credits_end
        balances = [int.from_bytes(value[at + n * size : at + (n + 1) * size], "little") for n in range(4)]
        at += 4 * size
        flags, _ledger = _TAIL.unpack_from(value, at)
        counts = value[at + 12 : at + 24]
        return cls(
            balances=(balances[0], balances[1], balances[2], balances[3]),
            flags=flags,
            debits_joined=int.from_bytes(counts[:6], "little"),
            credits_joined=int.from_bytes(counts[6:], "little"),
            debits_waiting=value[1:debits_end],
            credits_waiting=value[debits_end + 1 : credits_end],
        )


def place_and_status(value: bytes | None) -> tuple[int, int]:
    """What is stored under a transfer's id; -1 twice for a burnt id, none, and what no script wrote."""
    return divmod(int(value), STATUSES) if value and value.isdigit() else (-1, -1)


def transfers_stored(state: bytes) -> int:
    """How many transfers a ledger has, from its state."""
    return int.from_bytes(state[38:44], "little")


def accounts_stored(state: bytes) -> int:
    """How many accounts."""
    return int.from_bytes(state[32:38], "little")
