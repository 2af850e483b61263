"""What OpenAPI says of accounts, transfers and filters: out of their layouts, as `model.json` reads and writes them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

from fastapi import Body
from pydantic import WithJsonSchema

from lastro.ledger.model.json import WIDE_BYTES
from lastro.ledger.model.records import LIMIT_MAX, Account, AccountFilter, Balance, QueryFilter, Transfer

Schema = dict[str, Any]
Record = type[Account] | type[Transfer] | type[Balance] | type[AccountFilter] | type[QueryFilter]

DIGITS: Schema = {"type": "string", "pattern": "^[0-9]{1,39}$"}
NUMBER: Schema = {"anyOf": [DIGITS, {"type": "integer", "minimum": 0}]}
METADATA: Schema = {"description": "any JSON, kept beside the transfer"}


def sizes(kind: Record) -> dict[str, int]:
    """Field → its bytes."""
    return dict(zip([each.name for each in fields(kind)], kind.SIZES, strict=True))


def given(kind: Record, example: Mapping[str, object], *, only: tuple[str, ...] = (), **more: Schema) -> Schema:
    """A record as callers may write it: what is left out is 0; ``only`` some of it, and then the first is needed."""
    properties = {name: _given(size) for name, size in sizes(kind).items() if name in (only or sizes(kind))}
    return _object(properties | more) | {"required": list(only[:1] or ["id"]), "examples": [dict(example)]}


def shown(kind: Record) -> Schema:
    """A record as it is answered."""
    return _object({name: _shown(size) for name, size in sizes(kind).items()})


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _given(size: int) -> Schema:
    small = {"type": "integer", "minimum": 0, "maximum": (1 << 8 * size) - 1}
    return small if size < WIDE_BYTES else NUMBER


def _shown(size: int) -> Schema:
    return DIGITS if size >= WIDE_BYTES else {"type": "integer"}


def _listed(schema: Schema, **bounds: int) -> Schema:
    return {"type": "array", "items": schema, **bounds}


ACCOUNT = given(Account, {"id": "1", "ledger": 1, "code": 1})
TRANSFER = given(
    Transfer,
    {"id": "7", "debit_account_id": "1", "credit_account_id": "2", "amount": "30", "ledger": 1, "code": 1},
    metadata=METADATA,
)
OUTCOME = _object(
    {
        "result": {"type": "integer", "description": "0 when it was created now, else the code of the refusal"},
        "status": {"type": "string", "description": "the name of that code; ok for 0"},
        "timestamp": DIGITS,
        "debit_account": shown(Balance),
        "credit_account": shown(Balance),
    }
) | {"required": ["result", "status", "timestamp"]}
FOUND = shown(Transfer)
FOUND_WHOLE = _object(FOUND["properties"] | {"metadata": METADATA})

AccountBody = Annotated[dict[str, Any], Body(), WithJsonSchema(ACCOUNT)]
AccountsBody = Annotated[list[dict[str, Any]], Body(), WithJsonSchema(_listed(ACCOUNT, maxItems=LIMIT_MAX))]
TransferBody = Annotated[dict[str, Any], Body(), WithJsonSchema(TRANSFER)]
TransfersBody = Annotated[list[dict[str, Any]], Body(), WithJsonSchema(_listed(TRANSFER, maxItems=LIMIT_MAX))]
PostBody = Annotated[
    dict[str, Any], Body(), WithJsonSchema(given(Transfer, {"id": "8", "amount": "30"}, only=("id", "amount")))
]
VoidBody = Annotated[dict[str, Any], Body(), WithJsonSchema(given(Transfer, {"id": "9"}, only=("id",)))]

OutcomeShown = Annotated[dict[str, Any], WithJsonSchema(OUTCOME)]
OutcomesShown = Annotated[list[dict[str, Any]], WithJsonSchema(_listed(OUTCOME))]
AccountShown = Annotated[dict[str, Any], WithJsonSchema(shown(Account))]
AccountsShown = Annotated[list[dict[str, Any]], WithJsonSchema(_listed(shown(Account)))]
TransferShown = Annotated[dict[str, Any], WithJsonSchema(FOUND_WHOLE)]
TransfersShown = Annotated[list[dict[str, Any]], WithJsonSchema(_listed(FOUND))]
BalancesShown = Annotated[list[dict[str, Any]], WithJsonSchema(_listed(shown(Balance)))]

ASKED = {
    "timestamp_min": "included; 0 for any",
    "timestamp_max": "included; 0 for any",
    "limit": f"at most {LIMIT_MAX}",
}
"""Of the fields of a filter; every other one is compared, and 0 fits all."""
SIDES = ("both", "debits", "credits")


def asked(kind: type[AccountFilter] | type[QueryFilter]) -> dict[str, int]:
    """The fields of a filter that a query may have: field → bytes."""
    return {name: size for name, size in sizes(kind).items() if name not in {"account_id", "flags", "reserved"}}


def queried(kind: type[AccountFilter] | type[QueryFilter], *, sides: bool = False) -> Schema:
    """``openapi_extra`` of a route that reads this filter from its query."""
    side = {"type": "string", "enum": list(SIDES), "default": SIDES[0]}
    schemas: Schema = {"side": side} if sides else {}
    schemas["reversed"] = {"type": "boolean", "default": False, "description": "newest first"}
    for name, size in asked(kind).items():
        schemas[name] = (DIGITS if size >= WIDE_BYTES else _given(size)) | {"default": getattr(kind(), name)}
        schemas[name]["description"] = ASKED.get(name, "0 for any")
    return {"parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]}
