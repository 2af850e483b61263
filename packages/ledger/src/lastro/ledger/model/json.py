"""Records as JSON objects: fields of 64 bits and more are decimal strings, smaller ones numbers."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from lastro.core.errors import Invalid

from .changes import Change
from .records import Account, AccountFilter, Balance, Outcome, QueryFilter, Transfer

Record = TypeVar("Record", Account, Transfer, AccountFilter, QueryFilter)
WIDE_BYTES = 8


def from_json(kind: type[Record], given: object, **also: int) -> Record:
    """A record from a JSON object; numbers or decimal strings. Raises Invalid, naming the field."""
    if not isinstance(given, Mapping):
        raise Invalid(field=kind.__name__.lower(), reason="must be an object")
    known = {each.name for each in fields(kind)}
    if unknown := sorted(set(given) - known):
        raise Invalid(field=str(unknown[0]), reason="is not a known field")
    record = kind(**{name: whole(name, value) for name, value in given.items()}, **also)
    record.encode()
    return record


def whole(name: str, value: object) -> int:
    """A whole number from a JSON number or a string of decimal digits. Raises Invalid."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= DIGITS_MAX:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Invalid(field=name, reason="must be a whole number or a string of decimal digits")


DIGITS_MAX = 40
"""More digits than any field has; a longer string is refused before it is turned into a number."""


def to_json(record: Account | Transfer | Balance) -> dict[str, Any]:
    """A record as a JSON object."""
    sizes = zip(fields(record), record.SIZES, strict=True)
    return {
        each.name: str(getattr(record, each.name)) if size >= WIDE_BYTES else getattr(record, each.name)
        for each, size in sizes
    }


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a JSON object, with balances if it has any."""
    told: dict[str, Any] = {
        "result": outcome.result,
        "status": outcome.status,
        "timestamp": str(outcome.timestamp),
    }
    for side in ("debit_account", "credit_account"):
        if (balance := getattr(outcome, side)) is not None:
            told[side] = to_json(balance)
    return told


def change_json(change: Change) -> dict[str, Any]:
    """A change as a JSON object, with the balances of both accounts right after it."""
    told: dict[str, Any] = {"kind": change.kind, "timestamp": str(change.timestamp)}
    for name in ("account", "transfer", "debit_account", "credit_account"):
        if (part := getattr(change, name)) is not None:
            told[name] = to_json(part)
    return told
