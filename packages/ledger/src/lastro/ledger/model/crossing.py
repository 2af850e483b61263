"""A transfer between two shards as the transfers of each: two reservations, one decision, two settlements.

The side that pays is home, the other is away. A *transit* account of each stands for the other: what left home for
away is credited to home's transit account of away, and debited to away's transit account of home.
"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from zlib import crc32

from .codes import TransferFlag
from .records import U128_MAX, Account, Transfer

TRANSIT = (1 << 64) - 1 << 64
"""Ids from here on are the shards' own."""
TRANSIT_CODE = 65_535
NOBODY = TRANSIT | 1 << 60, TRANSIT | 1 << 60 | 1
"""Two accounts that never are."""
HOLD_HOME, HOLD_AWAY, SETTLE_AWAY, RELEASE_HOME, RELEASE_AWAY = range(1, 6)
ID = re.compile(r"\d{1,39}", re.ASCII)


def shard_of(account_id: int, shards: int) -> int:
    """Where an account lives."""
    return crc32(account_id.to_bytes(16, "little")) % shards


def transit(ledger: int, other: int) -> int:
    """The account that stands for another shard."""
    return TRANSIT | ledger << 16 | other


def stands_for(account_id: int) -> tuple[int, int] | None:
    """The ledger number and the shard that a transit account stands for; nothing for another account."""
    return (account_id >> 16 & 0xFFFFFFFF, account_id & 0xFFFF) if account_id >= TRANSIT else None


def transit_account(ledger: int, other: int) -> Account:
    """It."""
    return Account(id=transit(ledger, other), ledger=ledger, code=TRANSIT_CODE, user_data_32=other)


def derived(transfer_id: int, step: int) -> int:
    """The id of one step: the same whoever takes it, and nobody's own."""
    return int.from_bytes(
        blake2b(transfer_id.to_bytes(16, "little") + bytes([step]), digest_size=16).digest(), "little"
    )


@dataclass(frozen=True, slots=True)
class Crossing:
    """One transfer between shards. Every step may be taken twice, and by several at once."""

    transfer: Transfer
    home: int
    away: int

    @property
    def pair(self) -> tuple[int, int, int]:
        """The shards and the ledger number: what it needs transit accounts for."""
        return self.home, self.away, self.transfer.ledger

    @property
    def note(self) -> dict[str, str]:
        """What is kept beside the reservation at home: enough to go on from there."""
        return {"id": str(self.transfer.id), "credit_account_id": str(self.transfer.credit_account_id)}

    @property
    def hold_home(self) -> Transfer:
        """Reserve what is paid."""
        return self._hold(HOLD_HOME, self.transfer.debit_account_id, transit(self.transfer.ledger, self.away))

    @property
    def hold_away(self) -> Transfer:
        """Reserve the place for it."""
        return self._hold(HOLD_AWAY, transit(self.transfer.ledger, self.home), self.transfer.credit_account_id)

    @property
    def burn_away(self) -> Transfer:
        """Refused for ever, and so is then whoever would still reserve the place."""
        debit, credit = NOBODY
        return Transfer(
            id=derived(self.transfer.id, HOLD_AWAY), debit_account_id=debit, credit_account_id=credit, ledger=1, code=1
        )

    @property
    def decide(self) -> Transfer:
        """Post at home, under the transfer's own id: from then on it happened."""
        return self._end(self.transfer.id, HOLD_HOME, TransferFlag.POST_PENDING_TRANSFER)

    @property
    def release_home(self) -> Transfer:
        """Void at home: from then on it never happens."""
        return self._end(derived(self.transfer.id, RELEASE_HOME), HOLD_HOME, TransferFlag.VOID_PENDING_TRANSFER)

    @property
    def settle_away(self) -> Transfer:
        """Follow the decision."""
        return self._end(derived(self.transfer.id, SETTLE_AWAY), HOLD_AWAY, TransferFlag.POST_PENDING_TRANSFER)

    @property
    def release_away(self) -> Transfer:
        """Likewise."""
        return self._end(derived(self.transfer.id, RELEASE_AWAY), HOLD_AWAY, TransferFlag.VOID_PENDING_TRANSFER)

    def _hold(self, step: int, debit: int, credit: int) -> Transfer:
        own = self.transfer
        return Transfer(
            id=derived(own.id, step), debit_account_id=debit, credit_account_id=credit, amount=own.amount,
            user_data_128=own.user_data_128, user_data_64=own.user_data_64, user_data_32=own.user_data_32,
            ledger=own.ledger, code=own.code, flags=TransferFlag.PENDING,
        )  # fmt: skip

    def _end(self, number: int, step: int, flag: TransferFlag) -> Transfer:
        amount = U128_MAX if flag == TransferFlag.POST_PENDING_TRANSFER else 0
        return Transfer(id=number, pending_id=derived(self.transfer.id, step), amount=amount, flags=flag)


def crossing_of(held: Transfer, note: object, home: int) -> Crossing | None:
    """What a reservation at home is one side of; None if it is none, for its note is not what a crossing's is."""
    about = note if isinstance(note, dict) else {}
    number, receiver = _id(about.get("id")), _id(about.get("credit_account_id"))
    if number is None or receiver is None:
        return None
    transfer = Transfer(
        id=number, debit_account_id=held.debit_account_id, credit_account_id=receiver,
        amount=held.amount, user_data_128=held.user_data_128, user_data_64=held.user_data_64,
        user_data_32=held.user_data_32, ledger=held.ledger, code=held.code,
    )  # fmt: skip
    found = Crossing(transfer, home, held.credit_account_id & 0xFFFF)
    own = found.hold_home
    return found if (own.id, own.credit_account_id) == (held.id, held.credit_account_id) else None


def _id(text: object) -> int | None:
    """What a note spells as an id."""
    number = int(text) if isinstance(text, str) and ID.fullmatch(text) else None
    return None if number is None or number > U128_MAX else number
