"""Creating accounts and transfers. One that is refused is a problem; in a batch each event has its own outcome."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from lastro.core.docs import Responses, refuses
from lastro.core.errors import Invalid
from lastro.ledger.engine import Ledger
from lastro.ledger.errors import AccountRefused, CannotCross, TransferRefused, UnknownTransfer
from lastro.ledger.model.json import from_json, outcome_json, whole
from lastro.ledger.model.records import LIMIT_MAX, Account, Outcome, Transfer

from .access import require, seen, told, within
from .engine import Engine
from .schemas import (
    AccountBody,
    AccountsBody,
    OutcomeShown,
    OutcomesShown,
    PostBody,
    TransferBody,
    TransfersBody,
    VoidBody,
)

router = APIRouter()
Balances = Annotated[bool, Query(description="answer both accounts' balances, too")]
AGAIN: Responses = {200: {"model": OutcomeShown, "description": "It exists with the same content."}}
SETTLES = AGAIN | refuses(TransferRefused, UnknownTransfer, CannotCross)


@router.post("/accounts", status_code=201, responses=AGAIN | refuses(AccountRefused))
async def create_account(request: Request, given: AccountBody, response: Response, ledger: Engine) -> OutcomeShown:
    """Create an account, once; 201 if it was created now, 200 if it existed with the same content."""
    account = from_json(Account, given)
    require(request, [account])
    (outcome,) = await told(request, ledger, [account], [await ledger.create_account(account)])
    if not (outcome.ok or outcome.status == "exists"):
        raise AccountRefused(id=str(account.id), reason=outcome.status, result=outcome.result)
    return _one(outcome, response)


@router.post("/accounts/batch")
async def create_accounts(request: Request, given: AccountsBody, ledger: Engine) -> OutcomesShown:
    """Create accounts, one outcome each; those linked by flag 1 all or nothing."""
    accounts = _events(Account, given)
    require(request, accounts)
    outcomes = await ledger.create_accounts(accounts)
    return [outcome_json(each) for each in await told(request, ledger, accounts, outcomes)]


@router.post("/transfers", status_code=201, responses=AGAIN | refuses(TransferRefused, CannotCross))
async def create_transfer(
    request: Request,
    given: TransferBody,
    response: Response,
    ledger: Engine,
    balances: Balances = False,  # noqa: FBT002
) -> OutcomeShown:
    """Create a transfer, once; ``metadata`` is kept beside it, ``?balances=true`` answers both accounts' balances."""
    metadata = given.pop("metadata", None)
    transfer = from_json(Transfer, given)
    require(request, [transfer])
    outcome = await ledger.create_transfer(transfer, balances=balances, metadata=metadata)
    return _transfer(transfer, await _told(request, ledger, transfer, outcome), response)


@router.post("/transfers/batch", responses=refuses(CannotCross))
async def create_transfers(
    request: Request,
    given: TransfersBody,
    ledger: Engine,
    balances: Balances = False,  # noqa: FBT002
) -> OutcomesShown:
    """Create transfers, one outcome each; those linked by flag 1 all or nothing."""
    notes = {number: each.pop("metadata") for number, each in enumerate(given) if "metadata" in each}
    transfers = _events(Transfer, given)
    require(request, transfers)
    outcomes = await ledger.create_transfers(transfers, balances=balances, metadata=notes)
    return [outcome_json(each) for each in await told(request, ledger, transfers, outcomes)]


@router.post("/transfers/{pending_id}/post", status_code=201, responses=SETTLES)
async def post_transfer(
    request: Request, pending_id: str, given: PostBody, response: Response, ledger: Engine
) -> OutcomeShown:
    """Post a pending transfer: all of it, or the ``amount`` given. ``id`` is the posting transfer's."""
    asked = _fields(given, "id", "amount")
    transfer = ledger.posting(await _pending(request, ledger, pending_id), asked["id"], asked.get("amount"))
    outcome = await ledger.create_transfer(transfer)
    return _transfer(transfer, await _told(request, ledger, transfer, outcome), response)


@router.post("/transfers/{pending_id}/void", status_code=201, responses=SETTLES)
async def void_transfer(
    request: Request, pending_id: str, given: VoidBody, response: Response, ledger: Engine
) -> OutcomeShown:
    """Void a pending transfer. ``id`` is the voiding transfer's."""
    transfer = ledger.voiding(await _pending(request, ledger, pending_id), _fields(given, "id")["id"])
    outcome = await ledger.create_transfer(transfer)
    return _transfer(transfer, await _told(request, ledger, transfer, outcome), response)


def _fields(given: dict[str, Any], *names: str) -> dict[str, int]:
    """The numbers of a body that may have these and no others; the first it must have."""
    if unknown := sorted(set(given) - set(names)):
        raise Invalid(field=unknown[0], reason="is not a known field")
    if names[0] not in given:
        raise Invalid(field=names[0], reason="is missing")
    return {name: whole(name, given[name]) for name in names if name in given}


async def _pending(request: Request, ledger: Ledger, pending_id: str) -> int:
    """Its number. A narrowed key has to see it; what ledger a transfer is of never changes."""
    number = whole("pending_id", pending_id)
    if within(request).values is not None and not seen(request, await ledger.lookup_transfers([number])):
        raise UnknownTransfer(transfer_id=number)
    return number


def _events(kind: Any, given: list[dict[str, Any]]) -> list[Any]:
    if len(given) > LIMIT_MAX:
        raise Invalid(field="events", reason=f"at most {LIMIT_MAX} in a request")
    events = []
    for number, each in enumerate(given):
        try:
            events.append(from_json(kind, each))
        except Invalid as wrong:
            raise Invalid(field=f"event {number}: {wrong.about['field']}", reason=wrong.about["reason"]) from None
    return events


async def _told(request: Request, ledger: Ledger, transfer: Transfer, outcome: Outcome) -> Outcome:
    (heard,) = await told(request, ledger, [transfer], [outcome])
    return heard


def _transfer(transfer: Transfer, outcome: Outcome, response: Response) -> dict[str, Any]:
    if not (outcome.ok or outcome.status == "exists"):
        raise TransferRefused(id=str(transfer.id), reason=outcome.status, result=outcome.result)
    return _one(outcome, response)


def _one(outcome: Outcome, response: Response) -> dict[str, Any]:
    response.status_code = 201 if outcome.ok else 200
    return outcome_json(outcome)
