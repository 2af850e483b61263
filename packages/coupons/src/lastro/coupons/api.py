"""Coupons over HTTP: request in, engine, response out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request

from .engine import Coupons
from .model import Issuance
from .settings import CouponsSettings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """One engine per process, on the process's hub."""
    yield {"coupons": Coupons(app.state.hub, CouponsSettings.read())}


router = APIRouter(lifespan=lifespan)


def engine(request: Request) -> Coupons:
    """The engine of this process."""
    found: Coupons = request.state.coupons
    return found


Engine = Annotated[Coupons, Depends(engine)]


@router.put("/events/{event_id}", status_code=204)
async def open_event(event_id: str, total: int, coupons: Engine) -> None:
    """Open an event with ``total`` coupons, once."""
    await coupons.open_event(event_id, total)


@router.post("/events/{event_id}/issuances", status_code=201)
async def issue(event_id: str, user_id: str, coupons: Engine) -> Issuance:
    """Give the user one coupon, once."""
    return await coupons.issue(event_id, user_id)
