"""Pix over HTTP, under ``/pix``: HTTP in, engine, HTTP out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from lastro.pix.engine.pix import Pix
from lastro.pix.settings import PixSettings

from . import codes, dead, messages, outbox, participants, payments


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """The engine on the application's hub."""
    yield {"pix": Pix.of(app.state.hub, PixSettings.read())}


router = APIRouter(lifespan=lifespan)
for part in (payments, messages, outbox, participants, codes, dead):
    router.include_router(part.router)
