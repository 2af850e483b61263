"""One processor, asked over HTTP; every outcome is told for what it is.

A payment's outcome decides about money, so a try ends in one of the words of `Outcome`, and a timeout is never
"failed".
"""

from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
import structlog

from lastro.core.clock import iso, now_ms, parse_iso
from lastro.core.errors import Invalid
from lastro.payments.engine.http import Answer, Cut, HttpClient, NotConnected
from lastro.payments.model import AMOUNT_CENTS_MAX, Claim, Health

Outcome = Literal["taken", "known", "refused", "unknown", "wrong"]
"""taken: 200. known: 422, this processor has the id. refused: it certainly did not take it. unknown: it may have.
wrong: 4xx, it will never take this."""

AHEAD_MS_MAX = 86_400_000  # a processor's clock may be wrong, but not by a day
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """A payment that the processor has."""

    amount_cents: int
    requested_at_ms: int | None
    """None when it says a time that none can be: the year 1 is how it says that it was given none."""


class _Told(msgspec.Struct, rename="camel"):
    """The processor's own record; amounts are read as decimals, never as floats."""

    amount: Decimal
    requested_at: str


class _Said(msgspec.Struct, rename="camel"):
    """The processor's word on itself."""

    failing: bool
    min_response_time: Annotated[int, msgspec.Meta(ge=0)]


@dataclass(eq=False)
class Client:
    """A processor. An answer that is not in its contract is none."""

    http: HttpClient

    async def pay(self, claim: Claim) -> tuple[Outcome, str]:
        """Send the payment exactly as claimed; the outcome and, when there is more to say, why."""
        whole, cents = divmod(claim.amount_cents, 100)
        at = iso(claim.requested_at_ms)
        body = f'{{"correlationId":"{claim.correlation_id}","amount":{whole}.{cents:02d},"requestedAt":"{at}"}}'
        try:
            answer = await self.http.ask(b"POST /payments", body.encode())
        except NotConnected:
            return "refused", "no connection"
        except Cut:
            return "unknown", "no answer"
        return outcome_of(answer)

    async def find(self, correlation_id: str) -> "Held | Literal['unknown'] | None":
        """What it holds under this id, None if nothing, "unknown" without an answer."""
        try:
            answer = await self.http.ask(b"GET /payments/%s" % correlation_id.encode())
        except (NotConnected, Cut):
            return "unknown"
        if answer.status == 404:  # noqa: PLR2004  # the contract's word for "not here"
            return None
        if answer.status != 200:  # noqa: PLR2004
            return "unknown"
        try:
            told = msgspec.json.decode(answer.body, type=_Told)
            return _held(told.amount * 100, parse_iso(told.requested_at, field="requestedAt"))
        except (msgspec.DecodeError, RecursionError, ArithmeticError, ValueError, Invalid) as error:
            log.warning("payments.processor_unreadable", url=self.http.url, error=str(error))
            return "unknown"

    async def health(self) -> Health | None:
        """What it says of itself, failing when it cannot be reached; None without an answer of its contract in time."""
        try:
            answer = await self.http.ask(b"GET /payments/service-health")
        except NotConnected:
            return Health(failing=True)
        except Cut:
            return None
        if answer.status != 200:  # noqa: PLR2004
            return None
        try:
            said = msgspec.json.decode(answer.body, type=_Said)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            log.warning("payments.processor_unreadable", url=self.http.url, error=str(error))
            return None
        return Health(failing=said.failing, delay_ms=said.min_response_time)


def _held(cents: Decimal, requested_at_ms: int) -> Held:
    """Raises ValueError for what no payment can be: our books would refuse it, or never find it again."""
    if not 0 <= cents <= AMOUNT_CENTS_MAX or cents != int(cents):
        raise ValueError(f"an amount of {cents} cents")
    if requested_at_ms > now_ms() + AHEAD_MS_MAX:
        raise ValueError(f"requested at {requested_at_ms} ms")
    return Held(int(cents), requested_at_ms if requested_at_ms >= 0 else None)


def outcome_of(answer: Answer) -> tuple[Outcome, str]:
    """What a processor's answer to a payment means (reference §2, §8)."""
    match answer.status:
        case 200:
            return "taken", ""
        case 422:
            return "known", ""
        case 429:
            return "refused", "too many"
        case 500 if not answer.body:
            return "refused", "failing"
        case status if 400 <= status < 500 and status != HTTPStatus.REQUEST_TIMEOUT:  # which a proxy says of itself  # noqa: PLR2004
            return "wrong", f"{status} {answer.body[:200].decode(errors='replace')}"
        case status:
            return "unknown", f"{status}"
