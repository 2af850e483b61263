"""What the endpoints take from the process."""

from typing import Annotated

from fastapi import Depends, Request

from lastro.coupons.engine import Coupons


async def _engine(request: Request) -> Coupons:  # async: FastAPI calls a plain one on a thread
    found: Coupons = request.app.state.coupons
    return found


Engine = Annotated[Coupons, Depends(_engine)]
