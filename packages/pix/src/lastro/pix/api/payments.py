"""Payments, answers and returns."""

import msgspec
from fastapi import APIRouter, Request, Response

from lastro.core.docs import MINUTE, Responses, body, refuses, schema_of
from lastro.core.errors import Invalid, TooLarge
from lastro.pix.engine import orders, refunds
from lastro.pix.errors import (
    Behind,
    NoSuchPayment,
    PaymentRefused,
    ReturnRefused,
    SameIdOtherPayment,
    TooManyPayments,
)
from lastro.pix.model.payment import Answer, Payment, Return

from .answers import Given, Named, Returns, Status, Taken, Told, told
from .request import Engine, decode, record_of, reply, within

router = APIRouter()

ID = f"E99990001{MINUTE}00000000001"
PAYMENT = {
    "end_to_end_id": ID,
    "payer": "99990001",
    "payee": "99990002",
    "amount": "123.45",
    "local_instrument": "DICT",
    "key": "+5511999999999",
}
ANSWER = {"end_to_end_id": ID, "payee": "99990002", "status": "ACSP"}
RETURN = {
    "rtr_id": f"D99990002{MINUTE}00000000001",
    "end_to_end_id": ID,
    "amount": "23.45",
    "reason": "MD06",
}


SUBMITS = refuses(PaymentRefused, SameIdOtherPayment, TooManyPayments, Behind)
KNOWN: Responses = {200: {"model": Told, "description": "It was here before."}}
LINES = {"type": "string", "description": "a payment a line, as of `POST /pix/payments`"}


@router.post(
    "/payments",
    status_code=202,
    response_model=Taken,
    responses=KNOWN | SUBMITS,
    openapi_extra=body(schema_of(Payment), PAYMENT),
)
async def submit(request: Request, pix: Engine) -> Response:
    """Send one payment: 202 when it is new, 200 with its state when it was here before. Safe to repeat."""
    given = await request.body()
    if len(given) > pix.settings.body_bytes_max:
        raise TooLarge(limit_bytes=pix.settings.body_bytes_max)
    payment = decode(given, Payment)
    within(request).require(payment.payer)
    before = (await orders.submit(pix, [payment]))[0]
    if before:
        within(request).require(before.payer)
        return reply(told(before))
    return reply({"id": payment.end_to_end_id, "state": "RECEIVED"}, 202)


@router.post(
    "/payments/bulk",
    status_code=202,
    response_model=list[Taken],
    responses=SUBMITS,
    openapi_extra=body(LINES, msgspec.json.encode(PAYMENT).decode(), "application/x-ndjson"),
)
async def submit_bulk(request: Request, pix: Engine) -> Response:
    """Send payments of one payer, a line each. All are taken or none; the first wrong line is named."""
    lines = [line for line in (await request.body()).splitlines() if line.strip()]
    if not 0 < len(lines) <= orders.BULK_MAX:
        raise Invalid(field="body", reason=f"1 to {orders.BULK_MAX} lines, one payment each")
    payments = []
    for number, line in enumerate(lines, 1):
        if len(line) > pix.settings.body_bytes_max:
            raise TooLarge(limit_bytes=pix.settings.body_bytes_max)
        payments.append(decode(line, Payment, where=f"line {number}: "))
    within(request).require(*(payment.payer for payment in payments))
    before = await orders.submit(pix, payments)
    states = [
        {"id": payment.end_to_end_id, "state": record.state if record else "RECEIVED"}
        for payment, record in zip(payments, before, strict=True)
    ]
    return reply(states, 202)


@router.get("/payments/{payment_id}", response_model=Status, responses=refuses(NoSuchPayment))
async def status(request: Request, payment_id: str, pix: Engine) -> Response:
    """What became of a payment or return, and its timeline."""
    record = await record_of(request, pix, payment_id)
    return reply(Status(**told(record), timeline=await orders.timeline(pix, payment_id)))


@router.get("/payments/{payment_id}/returns", response_model=Returns, responses=refuses(NoSuchPayment))
async def returns(request: Request, payment_id: str, pix: Engine) -> Response:
    """What was given back of a payment, and what still can be."""
    await record_of(request, pix, payment_id)
    made = await orders.returns_of(pix, payment_id)
    left = await refunds.left_cents(pix, payment_id)
    given = [Given(id=part.id, amount_cents=part.cents, reason=part.code, at_ms=part.received_ms) for part in made]
    return reply(Returns(returns=given, left_cents=left))


@router.post(
    "/answers",
    status_code=202,
    response_model=Named,
    responses=refuses(PaymentRefused, TooManyPayments, Behind),
    openapi_extra=body(schema_of(Answer), ANSWER),
)
async def answer(request: Request, pix: Engine) -> Response:
    """A receiver's answer: ACSP, or RJCT with a code. A late or repeated one changes nothing."""
    given = decode(await request.body(), Answer)
    within(request).require(given.payee)
    await orders.answer(pix, [given])
    return reply({"id": given.end_to_end_id}, 202)


@router.post(
    "/returns",
    status_code=201,
    response_model=Told,
    responses=refuses(PaymentRefused, NoSuchPayment, ReturnRefused, SameIdOtherPayment),
    openapi_extra=body(schema_of(Return), RETURN),
)
async def refund(request: Request, pix: Engine) -> Response:
    """Give a settled payment back, whole or in part, at once. Safe to repeat with the same RtrId."""
    given = await request.body()
    if len(given) > pix.settings.body_bytes_max:
        raise TooLarge(limit_bytes=pix.settings.body_bytes_max)
    order = decode(given, Return)
    within(request).require(order.sender)
    record = await refunds.refund(pix, order)
    return reply(told(record), 201)
