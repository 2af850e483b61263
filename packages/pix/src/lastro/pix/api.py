"""Pix over HTTP: request in, engine, response out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request

from .engine import Pix
from .model import Payment
from .settings import PixSettings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """One engine per process, on the process's hub."""
    yield {"pix": Pix(app.state.hub, PixSettings.read())}


router = APIRouter(lifespan=lifespan)


def engine(request: Request) -> Pix:
    """The engine of this process."""
    found: Pix = request.state.pix
    return found


Engine = Annotated[Pix, Depends(engine)]


@router.post("/payments", status_code=201)
async def submit(payment: Payment, pix: Engine) -> Payment:
    """Take a payment in, once."""
    return await pix.submit(payment)
