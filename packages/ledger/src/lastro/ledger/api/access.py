"""What a key may do here: one narrowed to a ledger sees its accounts and transfers, and no other's."""

from collections.abc import Iterable
from typing import TypeVar

from fastapi import Request

from lastro.core.access import bounds
from lastro.core.access.model import Bounds
from lastro.core.access.routes import Access
from lastro.ledger.model.records import Account, Transfer

Stored = TypeVar("Stored", Account, Transfer)

ACCESS = Access(
    bound="ledger",
    value=r"[1-9]\d{0,9}",
    inside=(
        "POST /ledger/accounts",
        "POST /ledger/accounts/batch",
        "POST /ledger/accounts/lookup",
        "GET /ledger/accounts",
        "GET /ledger/accounts/{}",
        "GET /ledger/accounts/{}/transfers",
        "GET /ledger/accounts/{}/balances",
        "POST /ledger/transfers",
        "POST /ledger/transfers/batch",
        "POST /ledger/transfers/lookup",
        "GET /ledger/transfers",
        "GET /ledger/transfers/{}",
        "POST /ledger/transfers/{}/post",
        "POST /ledger/transfers/{}/void",
    ),
    reads=("POST /ledger/accounts/lookup", "POST /ledger/transfers/lookup"),
)


def within(request: Request) -> Bounds:
    """The ledgers that this request may touch; all of them but for a narrowed key."""
    return bounds(request.scope, "ledger")


def seen(request: Request, found: Iterable[Stored]) -> list[Stored]:
    """Those of these that may be seen; for others it is as if they were not there."""
    allowed = within(request)
    return [each for each in found if allowed.hold(str(each.ledger))]


def require(request: Request, events: Iterable[Account | Transfer]) -> None:
    """Raise Outside unless every event names a ledger that may be touched: 0, as of the pending one, names none."""
    within(request).require(*{str(each.ledger) for each in events})
