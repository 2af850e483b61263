"""What the scripts store, read back: see keys.py and scripts/parts/account_table.lua for the formats."""

from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812  # a class, whatever its name
from typing import Self

LOG_SEGMENT = 1_023
"""Records of a log in one string."""
INDEX_SEGMENT = 1_000_000
"""Entries of an account's index in one string."""
PLACE_BYTES, BALANCE_BYTES, SMALL_BYTES = 6, 16, 6
ACCOUNT_BYTES = 58
STATUSES, PENDING, POSTED, VOIDED, EXPIRED = 8, 1, 2, 3, 4
"""What becomes of a transfer, below 8; the other is 0."""
_STATE = Struct("<4Q6s6s4x")
_TAIL = Struct("<HI6s")
_NUMBER_DIGITS_MAX = 16  # of 2^48 places times 8
_WAITING_BYTES_MAX = 7 * PLACE_BYTES


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """One account; of its indexes it has the newest entries, and how many are in the segments."""

    balances: tuple[int, int, int, int]
    flags: int
    ledger: int
    place: int
    """In the log of accounts."""
    debits_joined: int
    credits_joined: int
    debits_waiting: bytes
    credits_waiting: bytes

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the string under ``account:{id}``; its last byte says how wide the balances are.

        Raises ValueError for what no script writes.
        """
        try:
            debits_end = 1 + value[0]
            credits_end = debits_end + 1 + value[debits_end]
            size = BALANCE_BYTES if value[-1] else SMALL_BYTES
            at = credits_end
            balances = [int.from_bytes(value[at + n * size : at + (n + 1) * size], "little") for n in range(4)]
            at += 4 * size
            flags, ledger, place = _TAIL.unpack_from(value, at)
        except (IndexError, StructError) as error:
            raise ValueError("too short") from error
        waiting = (value[0], value[debits_end])
        if at + 25 != len(value) or value[-1] > 1 or any(n % PLACE_BYTES or n > _WAITING_BYTES_MAX for n in waiting):
            raise ValueError("its lengths do not fit together")
        counts = value[at + 12 : at + 24]
        return cls(
            balances=(balances[0], balances[1], balances[2], balances[3]),
            flags=flags,
            ledger=ledger,
            place=int.from_bytes(place, "little"),
            debits_joined=int.from_bytes(counts[:6], "little"),
            credits_joined=int.from_bytes(counts[6:], "little"),
            debits_waiting=value[1:debits_end],
            credits_waiting=value[debits_end + 1 : credits_end],
        )


@dataclass(frozen=True, slots=True)
class StoredState:
    """A ledger's counters; timestamps are nanoseconds."""

    newest: int
    newest_account: int
    newest_transfer: int
    due: int
    """When the first pending transfer expires, or earlier; 0 if none does."""
    accounts: int
    transfers: int

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the string under ``state``. Raises ValueError for what no script writes."""
        if len(value) != _STATE.size:
            raise ValueError("it has another length")
        newest, account, transfer, due, accounts, transfers = _STATE.unpack(value)
        counts = int.from_bytes(accounts, "little"), int.from_bytes(transfers, "little")
        return cls(newest, account, transfer, due, *counts)


def place_and_status(value: bytes | None) -> tuple[int, int]:
    """What is stored under a transfer's id; -1 twice for a burnt id, none, and what no script wrote."""
    known = value is not None and value.isdigit() and len(value) <= _NUMBER_DIGITS_MAX
    return divmod(int(value or b""), STATUSES) if known else (-1, -1)


def transfers_stored(state: bytes) -> int:
    """How many transfers a ledger has, from its state."""
    return int.from_bytes(state[38:44], "little")
