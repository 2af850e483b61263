"""The engine of the process, for the endpoints."""

from typing import Annotated

from fastapi import Depends, Request

from lastro.ledger.engine import Ledger


async def of(request: Request) -> Ledger:  # async: FastAPI calls a plain one on a thread
    """The engine of this process."""
    found: Ledger = request.state.ledger
    return found


Engine = Annotated[Ledger, Depends(of)]
