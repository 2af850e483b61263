"""Payments over HTTP: request in, engine, response out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request

from .engine import Payments
from .model import Payment
from .settings import PaymentsSettings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """One engine per process, on the process's hub."""
    yield {"payments": Payments(app.state.hub, PaymentsSettings.read())}


router = APIRouter(lifespan=lifespan)


def engine(request: Request) -> Payments:
    """The engine of this process."""
    found: Payments = request.state.payments
    return found


Engine = Annotated[Payments, Depends(engine)]


@router.post("/payments", status_code=201)
async def accept(payment: Payment, payments: Engine) -> Payment:
    """Accept a payment, once."""
    return await payments.accept(payment)
