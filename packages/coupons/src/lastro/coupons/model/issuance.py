"""One coupon in one user's hands, and the record of it that Redis keeps."""

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import msgspec

Status: TypeAlias = Literal["issued", "reserved", "redeemed", "cancelled", "expired"]
ORDINAL = "#"
"""Between a user and the number of a second, third … coupon: ``ana#2``. No user id has one."""


class Issuance(msgspec.Struct, frozen=True, kw_only=True, gc=False):  # made for every row: a dataclass takes 4 us more
    """A coupon of an event in a user's hands; ``seq`` counts the event's from 1, ``ordinal`` the user's."""

    event_id: str
    user_id: str
    ordinal: int
    seq: int
    issuance_id: str
    code: str
    issued_ms: int
    epoch: int
    """Grows with every recovery of the event: a coupon of a server that was given up says so."""
    key_hash: str = ""
    """Of the Idempotency-Key it was asked for with; the attempt's repeat is known by it."""

    @classmethod
    def read(cls, event_id: str, winner: str, record: str) -> Self:
        """From ``user[#ordinal]`` and ``seq|issuance_id|code|issued_ms|epoch|key|``; else ValueError."""
        user_id, _, ordinal = winner.partition(ORDINAL)
        seq, issuance_id, code, issued_ms, epoch, key_hash, _ = record.split("|")
        return cls(
            event_id=event_id,
            user_id=user_id,
            ordinal=int(ordinal or 1),
            seq=int(seq),
            issuance_id=issuance_id,
            code=code,
            issued_ms=int(issued_ms),
            epoch=int(epoch),
            key_hash=key_hash,
        )

    @property
    def winner(self) -> str:
        """The field it has among the participants."""
        return self.user_id if self.ordinal == 1 else f"{self.user_id}{ORDINAL}{self.ordinal}"

    @property
    def record(self) -> str:
        """The value it has there."""
        return f"{self.seq}|{self.issuance_id}|{self.code}|{self.issued_ms}|{self.epoch}|{self.key_hash}|"

    def same(self, other: Self) -> bool:
        """Whether both are one coupon; rows that earlier builds wrote do not tell its key."""
        return msgspec.structs.replace(self, key_hash=other.key_hash) == other


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An issuance as the database has it."""

    issuance: Issuance
    status: Status
    order_ref: str | None
    reserved_until_ms: int | None
    redeemed_ms: int | None
    cancelled_ms: int | None
    expires_ms: int | None
