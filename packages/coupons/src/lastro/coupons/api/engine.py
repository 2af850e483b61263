"""What the endpoints take from the process."""

from typing import Annotated

from fastapi import Depends, Request

from lastro.coupons.engine import Coupons


def _engine(request: Request) -> Coupons:
    found: Coupons = request.app.state.coupons
    return found


Engine = Annotated[Coupons, Depends(_engine)]
