"""The SPI's XML, in and out."""

from uuid import uuid4

from fastapi import APIRouter, Request, Response

from lastro.core.clock import iso
from lastro.pix.engine import messages
from lastro.pix.errors import BadMessage
from lastro.pix.model import iso20022
from lastro.pix.model.ids import make_msg_id

from .request import Engine, body_of, record_of, reply, within

router = APIRouter()


@router.post("/messages", status_code=201, openapi_extra=body_of({}, "application/xml"))
async def take(request: Request, pix: Engine) -> Response:
    """One envelope: pacs.008 pays, pacs.002 answers, pacs.004 gives back."""
    try:
        _, message = iso20022.parse(await request.body())
    except iso20022.BadXml as bad:
        raise BadMessage(reason=str(bad)) from None
    within(request).require(message.sender)
    return reply({"id": await messages.take(pix, message)}, 201)


@router.get("/payments/{payment_id}/pacs.002")
async def final(request: Request, payment_id: str, pix: Engine, *, payee: bool = False) -> Response:
    """The final pacs.002 as the payer's (or the receiver's) institution gets it; 202 while there is none."""
    record = await record_of(request, pix, payment_id)
    if not record.final:
        return Response(status_code=202)
    settled = "ACCC" if payee else "ACSC"
    header = iso20022.Header(
        sender=iso20022.SPI_ISPB,
        receiver=record.payee if payee else record.payer,
        msg_id=make_msg_id(iso20022.SPI_ISPB, uuid4().hex[:23]),
        created_at=iso(record.final_ms or record.received_ms),
    )
    xml = iso20022.render_status(header, record, settled if record.state == "SETTLED" else "RJCT")
    return Response(xml, media_type="application/xml")
