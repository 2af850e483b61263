"""What the endpoints share: the engine of a request, and JSON both ways."""

from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict

from lastro.core.access import bounds
from lastro.core.access.model import Bounds
from lastro.core.errors import field_of
from lastro.pix.engine import orders
from lastro.pix.engine.pix import Pix
from lastro.pix.errors import NoSuchPayment, PaymentRefused
from lastro.pix.model.record import Record

WAIT_SECONDS_MAX = 30.0
T = TypeVar("T")


class Body(BaseModel):
    """A body of ours; a field that it does not have is a mistake somebody should hear of."""

    model_config = ConfigDict(extra="forbid")


async def _pix(request: Request) -> Pix:  # async: FastAPI calls a plain one on a thread
    pix: Pix = request.state.pix
    return pix


Engine = Annotated[Pix, Depends(_pix)]


def within(request: Request) -> Bounds:
    """The participants that this request may act for and see; all of them but for a narrowed key."""
    return bounds(request.scope, "pix")


async def record_of(request: Request, pix: Pix, payment_id: str) -> Record:
    """A payment or return of a participant that may be seen; for others it is as if it were not there."""
    record = await orders.status(pix, payment_id)
    if not within(request).hold(record.payer, record.payee):
        raise NoSuchPayment(end_to_end_id=payment_id)
    return record


def decode(body: bytes, kind: type[T], *, where: str = "") -> T:
    """A message out of JSON. Raises PaymentRefused CH16, saying which field, for what is not one."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PaymentRefused(field=f"{where}{field_of(error)}", reason=f"{where}{error}", spi="CH16") from None


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON, by msgspec."""
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")
