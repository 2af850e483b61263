"""The engine of the process, for the endpoints."""

from typing import Annotated

from fastapi import Depends, Request

from lastro.ledger.engine import Ledger


def of(request: Request) -> Ledger:
    """The engine of this process."""
    found: Ledger = request.state.ledger
    return found


Engine = Annotated[Ledger, Depends(of)]
