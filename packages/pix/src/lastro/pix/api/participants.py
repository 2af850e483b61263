"""Participants: accounts, funding, statements."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from lastro.core.docs import refuses
from lastro.pix.engine import accounts, statements
from lastro.pix.engine.accounts import Account
from lastro.pix.errors import AccountFull, NoSuchParticipant, NotEnoughFunds, SameActOtherAmount

from .answers import Statement
from .request import Body, Engine, reply

router = APIRouter(prefix="/participants")
FUNDS = refuses(NotEnoughFunds, AccountFull, SameActOtherAmount)


class Funding(Body):
    """Money from or to the central bank."""

    id: str = Field(
        min_length=1,
        max_length=accounts.ACT_MAX,
        description="of this act: a repeat changes nothing",
        examples=["funding-1"],
    )
    amount_cents: int = Field(description="negative takes out", strict=True, examples=[100_000])


@router.get("", response_model=list[Account])
async def list_accounts(pix: Engine) -> Response:
    """Every participant's Conta PI."""
    return reply(await accounts.accounts(pix))


@router.get("/{ispb}", response_model=Account, responses=refuses(NoSuchParticipant))
async def account(ispb: str, pix: Engine) -> Response:
    """One participant's Conta PI."""
    return reply(await accounts.account(pix, ispb))


@router.post(
    "/{ispb}/funding",
    status_code=201,
    response_model=Account,
    responses=refuses(NotEnoughFunds, AccountFull, SameActOtherAmount),
)
async def fund(ispb: str, funding: Funding, pix: Engine) -> Response:
    """Put money in, or take it out; a new participant begins here. Safe to repeat."""
    return reply(await accounts.fund(pix, ispb, funding.amount_cents, funding.id), 201)


@router.get("/{ispb}/statement", response_model=Statement, responses=refuses(NoSuchParticipant))
async def statement(
    ispb: str,
    pix: Engine,
    count: Annotated[int, Query(ge=1, le=statements.COUNT_MAX)] = 100,
    before: Annotated[str, Query(pattern=r"^(\+|[1-9][0-9]{0,14}-[0-9]{1,15})$")] = "+",
) -> Response:
    """The latest movements, newest last; ``before`` an entry for the page before it."""
    account = await accounts.account(pix, ispb)
    return reply(
        Statement(account=account, movements=await statements.movements(pix, ispb, count=count, before=before))
    )
