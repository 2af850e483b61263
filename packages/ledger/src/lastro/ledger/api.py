"""Ledger over HTTP: request in, engine, response out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request

from .engine import Ledger
from .model import Account
from .settings import LedgerSettings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """One engine per process, on the process's hub."""
    yield {"ledger": Ledger(app.state.hub, LedgerSettings.read())}


router = APIRouter(lifespan=lifespan)


def engine(request: Request) -> Ledger:
    """The engine of this process."""
    found: Ledger = request.state.ledger
    return found


Engine = Annotated[Ledger, Depends(engine)]


@router.post("/accounts", status_code=201)
async def create_account(account: Account, ledger: Engine) -> Account:
    """Create an account, once."""
    return await ledger.create_account(account)
