"""Ledger over HTTP: request in, engine, response out.

Fields of 64 and 128 bits are decimal strings; numbers are understood too. Every create carries its id and may be sent
again: the second answer says ``exists`` and has the first one's timestamp.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from lastro.ledger.engine import Ledger
from lastro.ledger.settings import LedgerSettings

from . import changes, create, read


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """One engine per process, on the process's hub."""
    yield {"ledger": Ledger(app.state.hub, LedgerSettings.read())}


router = APIRouter(lifespan=lifespan)
for part in (create, read, changes):
    router.include_router(part.router)
