"""Looking up, listing, querying."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from pydantic import WithJsonSchema

from lastro.core.docs import refuses
from lastro.core.errors import Invalid
from lastro.ledger.engine import Ledger
from lastro.ledger.errors import UnknownAccount, UnknownTransfer
from lastro.ledger.model.codes import AccountFilterFlag, QueryFilterFlag
from lastro.ledger.model.json import from_json, to_json, whole
from lastro.ledger.model.records import AccountFilter, QueryFilter

from .access import seen, within
from .engine import Engine
from .schemas import (
    NUMBER,
    SIDES,
    AccountShown,
    AccountsShown,
    BalancesShown,
    TransferShown,
    TransfersShown,
    asked,
    queried,
)

router = APIRouter()
Ids = Annotated[list[Annotated[Any, WithJsonSchema(NUMBER)]], Body(embed=True, examples=[["1", "2"]])]
FLAGS = {
    "both": AccountFilterFlag.DEBITS | AccountFilterFlag.CREDITS,
    "debits": AccountFilterFlag.DEBITS,
    "credits": AccountFilterFlag.CREDITS,
}
OF_ACCOUNT = queried(AccountFilter, sides=True)
OF_QUERY = queried(QueryFilter)


@router.post("/accounts/lookup")
async def lookup_accounts(request: Request, ids: Ids, ledger: Engine) -> AccountsShown:
    """The accounts of these ids, in that order; unknown ones are left out."""
    return [to_json(each) for each in seen(request, await ledger.lookup_accounts(_ids(ids)))]


@router.post("/transfers/lookup")
async def lookup_transfers(request: Request, ids: Ids, ledger: Engine) -> TransfersShown:
    """The transfers of these ids, in that order; unknown ones are left out."""
    return [to_json(each) for each in seen(request, await ledger.lookup_transfers(_ids(ids)))]


@router.get("/accounts/{account_id}", responses=refuses(UnknownAccount))
async def account(request: Request, account_id: str, ledger: Engine) -> AccountShown:
    """One account."""
    number = _id("account_id", account_id)
    if not (kept := seen(request, [await ledger.account(number)])):
        raise UnknownAccount(account_id=number)
    return to_json(kept[0])


@router.get("/transfers/{transfer_id}", responses=refuses(UnknownTransfer))
async def transfer(request: Request, transfer_id: str, ledger: Engine) -> TransferShown:
    """One transfer, with its metadata if it has any."""
    number = _id("transfer_id", transfer_id)
    if not (kept := seen(request, [await ledger.transfer(number)])):
        raise UnknownTransfer(transfer_id=number)
    found = to_json(kept[0])
    (metadata,) = await ledger.metadata([number])
    return found if metadata is None else {**found, "metadata": metadata}


@router.get("/accounts/{account_id}/transfers", openapi_extra=OF_ACCOUNT)
async def account_transfers(account_id: str, request: Request, ledger: Engine) -> TransfersShown:
    """An account's transfers by timestamp; ``side``, ``reversed`` and the fields of an account filter narrow them.

    None of an account that is not there, as TigerBeetle has it.
    """
    wanted = _account_filter(account_id, request)
    found = await ledger.get_account_transfers(wanted) if await _may_see(request, ledger, wanted.account_id) else []
    return [to_json(each) for each in found]


@router.get("/accounts/{account_id}/balances", openapi_extra=OF_ACCOUNT)
async def account_balances(account_id: str, request: Request, ledger: Engine) -> BalancesShown:
    """Its balances right after each of these transfers, if the account keeps history; else none."""
    wanted = _account_filter(account_id, request)
    found = await ledger.get_account_balances(wanted) if await _may_see(request, ledger, wanted.account_id) else []
    return [to_json(each) for each in found]


@router.get("/accounts", openapi_extra=OF_QUERY)
async def query_accounts(request: Request, ledger: Engine) -> AccountsShown:
    """Accounts by timestamp; ``reversed`` and the fields of a query filter narrow them."""
    return [to_json(each) for each in await ledger.query_accounts(_query_filter(request))]


@router.get("/transfers", openapi_extra=OF_QUERY)
async def query_transfers(request: Request, ledger: Engine) -> TransfersShown:
    """Transfers by timestamp; ``reversed`` and the fields of a query filter narrow them."""
    return [to_json(each) for each in await ledger.query_transfers(_query_filter(request))]


async def _may_see(request: Request, ledger: Ledger, account_id: int) -> bool:
    return within(request).values is None or bool(seen(request, await ledger.lookup_accounts([account_id])))


def _id(name: str, text: object) -> int:
    number = whole(name, text)
    if not 0 <= number < 1 << 128:
        raise Invalid(field=name, reason="must be from 0 to 2^128 - 1")
    return number


def _ids(ids: list[object]) -> list[int]:
    return [_id(f"ids.{at}", each) for at, each in enumerate(ids)]


def _reversed(given: dict[str, str]) -> bool:
    word = given.pop("reversed", "false")
    if word not in {"true", "false"}:
        raise Invalid(field="reversed", reason="must be true or false")
    return word == "true"


def _account_filter(account_id: str, request: Request) -> AccountFilter:
    given = dict(request.query_params)
    side = given.pop("side", "both")
    if side not in SIDES:
        raise Invalid(field="side", reason=f"must be one of {', '.join(SIDES)}")
    flags = FLAGS[side] | (AccountFilterFlag.REVERSED if _reversed(given) else 0)
    number = _id("account_id", account_id)
    return from_json(AccountFilter, _known(AccountFilter, given), account_id=number, flags=int(flags))


def _query_filter(request: Request) -> QueryFilter:
    given = dict(request.query_params)
    flags = QueryFilterFlag.REVERSED if _reversed(given) else 0
    wanted = from_json(QueryFilter, _known(QueryFilter, given), flags=int(flags))
    within(request).require(str(wanted.ledger))
    return wanted


def _known(kind: type[AccountFilter | QueryFilter], given: dict[str, str]) -> dict[str, str]:
    """What is asked, if all of it is known. Raises Invalid."""
    if unknown := sorted(given.keys() - asked(kind)):
        also = ": side and reversed say it" if unknown[0] == "flags" else ""
        raise Invalid(field=unknown[0], reason=f"is not a known field{also}")
    return given
