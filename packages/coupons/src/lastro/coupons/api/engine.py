"""What the endpoints take from the process."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict

from lastro.coupons.engine import Coupons


class Body(BaseModel):
    """A body of ours; a field that it does not have is a mistake somebody should hear of."""

    model_config = ConfigDict(extra="forbid")


async def _engine(request: Request) -> Coupons:  # async: FastAPI calls a plain one on a thread
    found: Coupons = request.app.state.coupons
    return found


Engine = Annotated[Coupons, Depends(_engine)]
