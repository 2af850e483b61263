"""Coupons over HTTP, under ``/coupons``: request in, engine, response out.

``POST /coupons/events/{event_id}/issuances`` is answered by `front`, a path in front of all routing that shares its
every byte with the documented route: both call `attempt.answered`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from lastro.coupons.engine import Coupons
from lastro.coupons.settings import CouponsSettings

from . import admin, attempt, dead, demo, events, issuances
from .attempt import front
from .edge import Edge

__all__ = ["front", "router"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """One engine per process, on the process's hub."""
    settings = CouponsSettings.read()
    coupons = Coupons(app.state.hub, settings)
    app.state.coupons, app.state.coupons_edge = coupons, Edge(settings)
    yield {}
    await coupons.aclose()


router = APIRouter(lifespan=lifespan)
for part in (attempt, events, issuances, dead, admin, demo):
    router.include_router(part.router)
