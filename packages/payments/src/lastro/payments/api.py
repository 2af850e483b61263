"""Payments over HTTP: the challenge's contract at the root, the rest under ``/payments``.

``POST /payments`` is answered by `front`, a path in front of the documented route that answers it byte by byte.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from pydantic import Field, WithJsonSchema
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypedDict  # of typing's pydantic reads none before 3.12

from lastro.core.access.routes import Access
from lastro.core.clock import parse_iso
from lastro.core.docs import Replayed, body, refuses
from lastro.core.edge import refusal
from lastro.core.errors import LastroError, field_of
from lastro.core.money import decimal

from .engine import PAGE_MAX, Payments, letters
from .errors import BadPayment, NotDead, UnknownPayment
from .model import PROCESSORS, Health, Payment, Processor

JSON = "application/json"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """One engine per process, on the process's hub: where the process also sends, what is accepted is sent at once."""
    app.state.payments = Payments.of(app.state.hub)
    yield {}


ACCESS = Access(admin=("POST /purge-payments",))
"""What an API key may do here: everything needs a right to all payments, and forgetting them needs more."""
router = APIRouter(lifespan=lifespan)
root = APIRouter(tags=["payments"])


async def engine(request: Request) -> Payments:  # async: FastAPI calls a plain one on a thread
    """The engine of this process."""
    found: Payments = request.app.state.payments
    return found


Engine = Annotated[Payments, Depends(engine)]
DEAD = refuses(UnknownPayment, NotDead)


Reais = Annotated[Decimal, WithJsonSchema({"type": "number"})]
"""A number of JSON, exact digit by digit."""


class Charged(TypedDict):
    """What one processor charged; the names are the challenge's."""

    totalRequests: Annotated[int, Field(description="payments")]
    totalAmount: Annotated[Reais, Field(description="reais, to the centavo")]
    totalFee: Annotated[Reais, Field(description="reais of it that the processor keeps")]
    feePerTransaction: Annotated[Reais, Field(description="share of each amount that it keeps")]


class Summary(TypedDict):
    """What both charged."""

    default: Charged
    fallback: Charged


class Purged(TypedDict):
    """That all is forgotten."""

    message: str


class Waiting(TypedDict):
    """What waits, and for whom."""

    waiting: Annotated[int, Field(description="payments that are queued and not claimed")]
    processors: dict[Processor, Health]


class Asked(msgspec.Struct, rename="camel"):
    """The body of a payment; the amount is taken as its text, never as a float."""

    correlation_id: str
    amount: msgspec.Raw


AMOUNT_TEXT_MAX = 24
"""More digits than any amount has, and fewer than a decimal keeps exactly."""
_read = msgspec.json.Decoder(Asked).decode
_uuid = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}").fullmatch


def asked(content_type: str, given: bytes) -> tuple[str, int]:
    """``(correlation_id, amount_cents)``; raises BadPayment naming the field."""
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise BadPayment(field="content-type", reason="must be application/json")
    try:
        order = _read(given)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # ValidationError is one
        raise BadPayment(field=field_of(error), reason=str(error)) from None
    correlation_id = order.correlation_id.lower()
    if not _uuid(correlation_id):
        raise BadPayment(field="correlationId", reason="not a UUID")
    return correlation_id, _cents(bytes(order.amount))


def _cents(number: bytes) -> int:
    """The text of a JSON number as cents; 0 for what is no number, negative, or has more decimals."""
    if len(number) > AMOUNT_TEXT_MAX or not number[:1].isdigit():
        return 0
    try:
        cents = Decimal(number.decode()).scaleb(2)
    except ArithmeticError:  # an exponent beyond all
        return 0
    return int(cents) if cents.adjusted() < AMOUNT_TEXT_MAX and cents == cents.to_integral_value() else 0


@router.post(
    "",
    status_code=201,
    response_class=Response,
    openapi_extra=body(
        {
            "type": "object",
            "required": ["correlationId", "amount"],
            "properties": {
                "correlationId": {"type": "string", "format": "uuid"},
                "amount": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01},
            },
        },
        {"correlationId": "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", "amount": 19.90},
    ),
)
async def accept(request: Request, payments: Engine) -> Response:
    """Take a payment, once: durable when this answers; a known id is answered the same and causes nothing."""
    await payments.accept(*asked(request.headers.get("content-type", ""), await request.body()))
    return Response(status_code=201)


def front(app: ASGIApp) -> ASGIApp:
    """Answer ``POST /payments`` before any routing; everything else passes."""

    async def fast(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/payments" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        message = await receive()
        given = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            given += message.get("body", b"")
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content_type = b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
                break
        try:
            await scope["app"].state.payments.accept(*asked(content_type.decode("latin-1"), given))
        except LastroError as error:
            await refusal(error, "/payments")(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    return fast


@root.get("/payments-summary", response_model=Summary)
async def summary(
    payments: Engine,
    from_: Annotated[str | None, Query(alias="from", description="ISO 8601, included; open without it")] = None,
    to: Annotated[str | None, Query(description="ISO 8601, included; open without it")] = None,
) -> Response:
    """What each processor charged, by the time that was sent to it; exact."""
    totals = await payments.summary(
        None if from_ is None else parse_iso(from_, field="from", up=True),
        None if to is None else parse_iso(to, field="to"),
    )
    told = {
        processor: {
            "totalRequests": totals[processor].requests,
            "totalAmount": _number(decimal(totals[processor].amount_cents)),
            "totalFee": _number(totals[processor].fee(payments.fees[processor])),
            "feePerTransaction": _number(payments.fees[processor]),
        }
        for processor in PROCESSORS
    }
    return Response(msgspec.json.encode(told), media_type=JSON)


@root.post("/purge-payments", status_code=200)
async def purge(payments: Engine) -> Purged:
    """Forget everything, known ids included."""
    await payments.purge()
    return Purged(message="All payments purged.")


@router.get("/health")
async def health(payments: Engine) -> Waiting:
    """What waits, and what the processors last said of themselves."""
    told = await payments.health()
    return Waiting(waiting=await payments.waiting(), processors={name: told[name] for name in PROCESSORS})


@router.get("/pending")
async def pending(payments: Engine) -> list[Payment]:
    """The oldest payments that wait, and those in flight."""
    return await payments.pending()


@router.get("/dead")
async def list_letters(
    payments: Engine, after: UUID | None = None, count: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100
) -> list[Payment]:
    """A page of what a processor refused for what it is, oldest first; ``after`` the last id of the page before."""
    return await letters.letters(payments, after=str(after or ""), count=count)


@router.get("/dead/{correlation_id}", responses=DEAD)
async def show(correlation_id: UUID, payments: Engine) -> Payment:
    """One dead payment, with its reason."""
    return await letters.letter(payments, str(correlation_id))


@router.post("/dead/{correlation_id}/replay", responses=DEAD)
async def replay(correlation_id: UUID, payments: Engine) -> Replayed:
    """Queue a dead payment again."""
    await letters.replay(payments, str(correlation_id))
    return Replayed(replayed=True)


@router.delete("/dead/{correlation_id}", status_code=204, responses=DEAD)
async def discard(correlation_id: UUID, payments: Engine) -> None:
    """Let go of a dead payment: it is listed no more, and its id stays taken."""
    await letters.discard(payments, str(correlation_id))


@router.get("/{correlation_id}", responses=refuses(UnknownPayment))
async def payment(correlation_id: UUID, payments: Engine) -> Payment:
    """One payment: its state, its processor, what was sent, how often."""
    return await payments.payment(str(correlation_id))


def _number(value: Decimal | str) -> msgspec.Raw:
    """A decimal as a JSON number, digit by digit."""
    return msgspec.Raw(str(value).encode())
