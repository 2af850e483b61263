"""What a key may do here: one narrowed to a ledger sees its accounts and transfers, and no other's."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from fastapi import Request

from lastro.core.access import bounds
from lastro.core.access.model import Bounds
from lastro.core.access.routes import Access
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.archive import FETCHED_MAX
from lastro.ledger.model.codes import AccountCode, TransferCode
from lastro.ledger.model.records import Account, Outcome, Transfer

EXISTS = "exists_with_different_"
"""The beginning of every status that compares an event with what has its id."""
OF_PENDING = range(TransferCode.PENDING_TRANSFER_NOT_PENDING, TransferCode.PENDING_TRANSFER_EXPIRED + 1)
"""The codes that tell something of the transfer that is to be settled."""

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


async def told(
    request: Request, ledger: Ledger, events: Sequence[Account | Transfer], outcomes: Sequence[Outcome]
) -> Sequence[Outcome]:
    """The outcomes as this key may hear them: of what is another ledger's that it is, and not in what else it differs.

    The rules compare the ledger late: who guesses at accounts and amount would hear which guess was right.
    """
    if within(request).values is None or not events:
        return outcomes
    compared = [_compared(event, outcome) for event, outcome in zip(events, outcomes, strict=True)]
    ids = sorted({id_ for id_ in compared if id_ is not None})
    own: set[int] = set()
    for at in range(0, len(ids), FETCHED_MAX):  # as many as may be archived, each in a segment of its own
        part = ids[at : at + FETCHED_MAX]
        if isinstance(events[0], Account):
            own.update(each.id for each in seen(request, await ledger.lookup_accounts(part)))
        else:
            own.update(each.id for each in seen(request, await ledger.lookup_transfers(part)))
    return [
        outcome if id_ is None or id_ in own else _another_s(event, outcome)
        for event, outcome, id_ in zip(events, outcomes, compared, strict=True)
    ]


def _compared(event: Account | Transfer, outcome: Outcome) -> int | None:
    """What the outcome tells something of."""
    if outcome.status.startswith(EXISTS):
        return event.id
    return event.pending_id if isinstance(event, Transfer) and outcome.result in OF_PENDING else None


def _another_s(event: Account | Transfer, outcome: Outcome) -> Outcome:
    code: AccountCode | TransferCode = TransferCode.PENDING_TRANSFER_HAS_DIFFERENT_LEDGER
    if outcome.status.startswith(EXISTS):
        kind = AccountCode if isinstance(event, Account) else TransferCode
        code = kind.EXISTS_WITH_DIFFERENT_LEDGER
    return replace(outcome, result=int(code), status=code.name.lower())
