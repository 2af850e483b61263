"""The SPI's XML, in and out."""

from uuid import uuid4

import msgspec
from fastapi import APIRouter, Request, Response

from lastro.core.clock import iso
from lastro.core.docs import Responses, body, media, refuses
from lastro.pix.engine import messages
from lastro.pix.errors import (
    BadMessage,
    Behind,
    NoSuchPayment,
    PaymentRefused,
    ReturnRefused,
    SameIdOtherPayment,
    TooManyPayments,
)
from lastro.pix.model import iso20022
from lastro.pix.model.ids import make_msg_id
from lastro.pix.model.payment import Payment

from .answers import Named
from .payments import PAYMENT
from .request import Engine, record_of, reply, within

router = APIRouter()


ENVELOPE = iso20022.render_payment(
    iso20022.Header(
        sender=PAYMENT["payer"],
        receiver=iso20022.SPI_ISPB,
        msg_id=make_msg_id(PAYMENT["payer"], "0" * 23),
        created_at="2026-11-21T03:00:00.000Z",
    ),
    msgspec.convert(PAYMENT, Payment),
).decode()
NONE: Responses = {202: {"description": "There is none yet."}}
XML = {"type": "string", "description": "an envelope: pacs.008, pacs.002 or pacs.004"}
TAKES = refuses(BadMessage, PaymentRefused, SameIdOtherPayment, ReturnRefused, NoSuchPayment, TooManyPayments, Behind)


@router.post(
    "/messages",
    status_code=201,
    response_model=Named,
    responses=TAKES,
    openapi_extra=body(XML, ENVELOPE, "application/xml"),
)
async def take(request: Request, pix: Engine) -> Response:
    """One envelope: pacs.008 pays, pacs.002 answers, pacs.004 gives back."""
    try:
        _, message = iso20022.parse(await request.body())
    except iso20022.BadXml as bad:
        raise BadMessage(field=bad.element, reason=str(bad)) from None
    within(request).require(message.sender)
    try:
        return reply({"id": await messages.take(pix, message)}, 201)
    except (PaymentRefused, ReturnRefused) as no:
        no.about["field"] = iso20022.element_of(message, str(no.about["field"]))
        raise


@router.get(
    "/payments/{payment_id}/pacs.002",
    response_class=Response,
    responses=media("application/xml") | NONE | refuses(NoSuchPayment),
)
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
    status = settled if record.state == "SETTLED" else "RJCT"
    xml = iso20022.render_status(header, record.id, status, record.code)
    return Response(xml, media_type="application/xml")
