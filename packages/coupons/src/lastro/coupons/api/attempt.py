"""One attempt at one coupon: the path that a crowd takes."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lastro.core.clock import iso
from lastro.core.docs import Responses
from lastro.core.edge import PROBLEM, problem
from lastro.core.errors import Invalid, LastroError, TooFast, field_of
from lastro.core.limits import admit
from lastro.coupons import keys
from lastro.coupons.engine import Coupons, Given
from lastro.coupons.errors import BadRequest, SoldOut, UnknownEvent
from lastro.coupons.metrics import ATTEMPTS
from lastro.coupons.model.event import EVENT_ID, USER_ID
from lastro.coupons.model.issuance import Issuance

from .answers import IssuedCoupon
from .edge import Edge, Headers

PREFIX, SUFFIX = "/coupons/events/", "/issuances"
KEY_MAX = 128
JSON = (b"content-type", b"application/json")
BAD = (b"content-type", PROBLEM.encode())
ANSWERS_MAX = 256  # events whose sold-out answer is kept ready


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an attempt; it may be empty."""

    ticket: str = ""


class Shown(msgspec.Struct):
    """An issuance as the world sees it; the same bytes whenever it is asked for."""

    issuance_id: str
    event_id: str
    user_id: str
    ordinal: int
    seq: int
    code: str
    issued_at: str


class Answer(msgspec.Struct):
    """A response, ready to be sent."""

    status: int
    headers: Headers
    body: bytes


_read = msgspec.json.Decoder(Asked).decode
_sold_out: dict[str, Answer] = {}


def shown(one: Issuance) -> Shown:
    """For the world."""
    return Shown(one.issuance_id, one.event_id, one.user_id, one.ordinal, one.seq, one.code, iso(one.issued_ms))


async def answered(
    coupons: Coupons, edge: Edge, event_id: str, headers: dict[bytes, bytes], scope: Scope, body: bytes
) -> Answer:
    """The answer to an attempt, for the route and for the path in front of it."""
    limits: Headers = []
    try:
        user_id = headers.get(b"x-user-id", b"").decode("latin-1")
        if not USER_ID.fullmatch(user_id):
            raise _wrong_user(user_id)
        key = headers.get(b"idempotency-key", b"").decode("latin-1")
        if key and (len(key) > KEY_MAX or not key.isascii() or not key.isprintable()):
            raise Invalid(field="Idempotency-Key", reason=f"at most {KEY_MAX} printable characters")
        ticket = _ticket(headers.get(b"content-type", b""), body) if body else ""
        if coupons.too_late(event_id, user_id):
            return sold_out(event_id)
        if not EVENT_ID.fullmatch(event_id):
            raise UnknownEvent(event_id=event_id)
        limits = edge.take(user_id, scope)
        if coupons.settings.limit_across and edge.user is not None:
            limit = keys.rate(user_id)
            await admit(coupons.hub.write, limit, per_second=edge.user.per_second, burst=edge.user.burst)
        given = await coupons.decide(event_id, user_id, key=key, ticket=ticket)
    except SoldOut:
        answer = sold_out(event_id)
        return Answer(answer.status, [*answer.headers, *limits], answer.body) if limits else answer
    except LastroError as error:
        return _refused(error, f"{PREFIX}{event_id}{SUFFIX}", limits)
    return _given(given, limits)


def sold_out(event_id: str) -> Answer:
    """The same for all who come too late."""
    answer = _sold_out.get(event_id)
    if answer is None:
        if len(_sold_out) >= ANSWERS_MAX:
            _sold_out.clear()
        answer = _refused(SoldOut(event_id=event_id), f"{PREFIX}{event_id}{SUFFIX}", [])
        _sold_out[event_id] = answer
    return answer


def front(app: ASGIApp) -> ASGIApp:
    """Answer attempts before any routing; everything else passes."""

    async def fast(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] != "POST" or not path.endswith(SUFFIX):
            await app(scope, receive, send)
            return
        event_id = path[len(PREFIX) : -len(SUFFIX)]
        if not path.startswith(PREFIX) or not event_id or "/" in event_id:
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        body = b""
        if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
            body = await Request(scope, receive).body()
        state = scope["app"].state
        answer = await answered(state.coupons, state.coupons_edge, event_id, headers, scope, body)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    return fast


_HEADERS = [
    ("X-User-Id", True, {"type": "string", "pattern": f"^{USER_ID.pattern}$"}, "who asks; set by the gateway"),
    ("Idempotency-Key", False, {"type": "string", "maxLength": KEY_MAX}, "names the attempt, kept over its retries"),
]
_SCHEMA = {
    "type": "object",
    "properties": {"ticket": {"type": "string", "description": "of the waiting room, where there is one"}},
    "additionalProperties": False,
    "examples": [{"ticket": "1753000000000.q83vEjRWeJA"}],
}
_SAYS: Responses = {
    201: {"model": IssuedCoupon, "description": "issued now"},
    200: {"model": IssuedCoupon, "description": "the same coupon again"},
    400: {"description": "no user, no JSON, or no Idempotency-Key where several are allowed"},
    403: {"description": "not eligible, or without a ticket of the waiting room"},
    404: {"description": "no such event"},
    409: {"description": "sold out, not open now, or this user has all it may have"},
    410: {"description": "the event is over"},
    413: {"description": "the body is too large"},
    422: {"description": "a malformed user, body or key"},
    429: {"description": "you are too fast"},
    503: {"description": "we are overloaded, or the outcome is unknown: ask again"},
}
router = APIRouter()


@router.post(
    "/events/{event_id}/issuances",
    status_code=201,
    response_class=Response,
    responses=_SAYS,
    openapi_extra={
        "parameters": [
            {"name": name, "in": "header", "required": required, "schema": schema, "description": text}
            for name, required, schema, text in _HEADERS
        ],
        "requestBody": {"required": False, "content": {"application/json": {"schema": _SCHEMA}}},
    },
)
async def issue(event_id: str, request: Request) -> Response:
    """Give the user one coupon, once: pass or fail at once, for good. Asking again gives the same coupon."""
    state = request.app.state
    scope, body = request.scope, await request.body()
    answer = await answered(state.coupons, state.coupons_edge, event_id, dict(scope["headers"]), scope, body)
    response = Response(answer.body, answer.status)
    response.raw_headers = answer.headers
    return response


def _ticket(content_type: bytes, body: bytes) -> str:
    if content_type.partition(b";")[0].strip().lower() != b"application/json":
        raise BadRequest(field="content-type", reason="must be application/json")
    try:
        return _read(body).ticket
    except msgspec.ValidationError as error:
        raise Invalid(field=field_of(error), reason=str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(field="body", reason=str(error)) from None


def _wrong_user(user_id: str) -> LastroError:
    if not user_id:
        return BadRequest(field="X-User-Id", reason="who asks is missing")
    return Invalid(field="X-User-Id", reason="1 to 128 letters, digits and . _ @ : + -")


def _given(given: Given, limits: Headers) -> Answer:
    body = msgspec.json.encode(shown(given.issuance))
    headers = [JSON, (b"content-length", b"%d" % len(body)), *limits]
    if given.new:
        one = given.issuance
        headers.append((b"location", f"{PREFIX}{one.event_id}{SUFFIX}/{one.user_id}".encode()))
    return Answer(201 if given.new else 200, headers, body)


def _refused(error: LastroError, path: str, limits: Headers) -> Answer:
    if isinstance(error, TooFast):
        ATTEMPTS.of(word="too_fast").inc()
    elif error.status == 503:  # noqa: PLR2004  # as Busy says
        ATTEMPTS.of(word="busy").inc()
    body = msgspec.json.encode(problem(error, path))
    headers = [BAD, (b"content-length", b"%d" % len(body)), *limits]
    about: dict[str, Any] = error.about
    if "retry_after_seconds" in about:
        headers.append((b"retry-after", str(about["retry_after_seconds"]).encode()))
    return Answer(error.status, headers, body)
