"""Accounts, transfers, balances and filters, and their records: the bytes of TigerBeetle's layouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from lastro.core.errors import Invalid

U128_MAX = (1 << 128) - 1
LIMIT_MAX = 8189
"""Events in one request and objects in one answer, as TigerBeetle has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """Something with a fixed layout; fields left out are zero."""

    SIZES: ClassVar[Sequence[int]]
    """Bytes of each field, in the order of the layout."""

    def encode(self) -> bytes:
        """The bytes of the layout. Raises Invalid, naming the first field that does not fit."""
        try:
            return _packed(self)
        except (OverflowError, AttributeError, TypeError):
            for name, size in zip(_names(type(self)), self.SIZES, strict=True):
                value, bits = getattr(self, name), 8 * min(size, 16)
                if not isinstance(value, int) or not 0 <= value < 1 << bits:
                    raise Invalid(field=name, reason=f"must be a whole number from 0 to 2^{bits} - 1") from None
            raise

    @classmethod
    def decode(cls, record: bytes) -> Self:
        """From the bytes of the layout."""
        values: dict[str, int] = {}
        at = 0
        for name, size in zip(_names(cls), cls.SIZES, strict=True):
            values[name] = int.from_bytes(record[at : at + size], "little")
            at += size
        return cls(**values)


def _names(cls: type[_Record]) -> tuple[str, ...]:
    slots: tuple[str, ...] = cls.__slots__  # dataclass has made it: the fields in their order
    return slots


def _packed(record: _Record) -> bytes:
    sizes: zip[tuple[str, int]] = zip(_names(type(record)), record.SIZES, strict=True)
    return b"".join([getattr(record, name).to_bytes(size, "little") for name, size in sizes])


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(_Record):
    """An account; ``ledger`` and ``code`` are the caller's numbers for its currency and its kind."""

    SIZES: ClassVar[Sequence[int]] = (16, 16, 16, 16, 16, 16, 8, 4, 4, 4, 2, 2, 8)

    id: int = 0
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    reserved: int = 0
    ledger: int = 0
    code: int = 0
    flags: int = 0
    timestamp: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(_Record):
    """Money from one account to another; ``timeout`` is in seconds."""

    SIZES: ClassVar[Sequence[int]] = (16, 16, 16, 16, 16, 16, 8, 4, 4, 4, 2, 2, 8)

    id: int = 0
    debit_account_id: int = 0
    credit_account_id: int = 0
    amount: int = 0
    pending_id: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    timeout: int = 0
    ledger: int = 0
    code: int = 0
    flags: int = 0
    timestamp: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance(_Record):
    """The balances of an account right after the transfer of that timestamp."""

    SIZES: ClassVar[Sequence[int]] = (16, 16, 16, 16, 8)

    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    timestamp: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFilter(_Record):
    """Which transfers of an account: zero means any, timestamps are inclusive, ``flags`` choose sides and order."""

    SIZES: ClassVar[Sequence[int]] = (16, 16, 8, 4, 2, 58, 8, 8, 4, 4)

    account_id: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    code: int = 0
    reserved: int = 0
    timestamp_min: int = 0
    timestamp_max: int = 0
    limit: int = LIMIT_MAX
    flags: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFilter(_Record):
    """Which accounts or transfers: zero means any, timestamps are inclusive."""

    SIZES: ClassVar[Sequence[int]] = (16, 8, 4, 4, 2, 6, 8, 8, 4, 4)

    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    ledger: int = 0
    code: int = 0
    reserved: int = 0
    timestamp_min: int = 0
    timestamp_max: int = 0
    limit: int = LIMIT_MAX
    flags: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one event: its code by number and name, and a timestamp.

    The timestamp is the new object's, the existing one's, or the one it would have had.
    """

    result: int
    status: str
    timestamp: int
    debit_account: Balance | None = None
    credit_account: Balance | None = None

    @property
    def ok(self) -> bool:
        """Whether it was created now."""
        return self.result == 0


Object = TypeVar("Object", bound=_Record)


def decode_all(cls: type[Object], records: bytes, size: int = 128) -> list[Object]:
    """Every record of an answer."""
    return [cls.decode(records[at : at + size]) for at in range(0, len(records), size)]


def joined(events: Sequence[_Record]) -> bytes:
    """All events as one request. Raises Invalid, naming the event and the field."""
    parts = []
    for number, event in enumerate(events):
        try:
            parts.append(event.encode())
        except Invalid as wrong:
            field = f"event {number}: {wrong.about['field']}" if len(events) > 1 else wrong.about["field"]
            raise Invalid(field=field, reason=wrong.about["reason"]) from None
    return b"".join(parts)
