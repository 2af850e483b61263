"""A client that behaves: it asks again when that may help, later each time, under one key, and not for ever.

outcome = await Client(http).attempt("launch", "ana")     # "won", "lost" or "unknown", with the coupon or the reason
"""

import asyncio
from dataclasses import dataclass
from random import uniform
from typing import Any, Literal
from uuid import uuid4

import httpx

FINAL = frozenset({400, 401, 403, 404, 409, 410, 413, 422})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt. ``unknown`` is not ``lost``: ask again, and the same coupon comes."""

    word: Literal["won", "lost", "unknown"]
    about: dict[str, Any]
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How patient it is."""

    tries_max: int = 8
    base_seconds: float = 0.2
    cap_seconds: float = 30.0
    answer_seconds: float = 5.0

    def pause_seconds(self, tries: int, asked_seconds: float | None) -> float:
        """Not before the server asked, and with full jitter after: a crowd told to wait does not come back as one."""
        ceiling = min(self.cap_seconds, self.base_seconds * 2**tries)
        if asked_seconds is None:
            return uniform(0, ceiling)
        return min(self.cap_seconds, asked_seconds + uniform(0, max(asked_seconds, ceiling)))


@dataclass(slots=True)
class Client:
    """Asks for coupons over HTTP."""

    http: httpx.AsyncClient
    manners: Manners = Manners()

    async def attempt(self, event_id: str, user_id: str, *, key: str | None = None, ticket: str = "") -> Outcome:
        """Try to get one. No answer is no "no": it is asked again under the same key."""
        headers = {"X-User-Id": user_id, "Idempotency-Key": key or uuid4().hex}
        body = {"ticket": ticket} if ticket else None
        about: dict[str, Any] = {}
        for tries in range(1, self.manners.tries_max + 1):
            asked = None
            try:
                answer = await self.http.post(
                    f"/coupons/events/{event_id}/issuances",
                    headers=headers,
                    json=body,
                    timeout=self.manners.answer_seconds,
                )
                about = _read(answer)
            except httpx.TransportError as error:
                about = {"detail": str(error) or type(error).__name__}
            else:
                if answer.is_success and "issuance_id" in about:
                    return Outcome("won", about, tries)
                if answer.status_code in FINAL and "retry_after_ms" not in about:
                    return Outcome("lost", about, tries)
                asked = _asked_seconds(answer, about)
            if tries < self.manners.tries_max:
                await asyncio.sleep(self.manners.pause_seconds(tries, asked))
        return Outcome("unknown", about, self.manners.tries_max)


def _read(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {"detail": answer.text[:200]}
    return told if isinstance(told, dict) else {"detail": told}


def _asked_seconds(answer: httpx.Response, about: dict[str, Any]) -> float | None:
    if "retry_after_ms" in about:
        return float(about["retry_after_ms"]) / 1000
    given = answer.headers.get("retry-after", "")
    return float(given) if given.isdigit() else None
