"""What coupons can do. Each method is one business act and at most one script.

The life of a coupon: **issued** by the script, which is final, → written to the database by the worker → **reserved** →
**redeemed**, or **cancelled**, or **expired**. Redis decides who gets one; the database decides what becomes of it.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from random import uniform
from typing import Any

from lastro.core.clock import now_ms
from lastro.core.database import Database
from lastro.core.errors import Invalid, LastroError, OutcomeUnknown, Unreachable
from lastro.core.redis import Hub
from lastro.coupons import errors, keys, scripts
from lastro.coupons.metrics import ATTEMPTS, GUARDED, WORDS
from lastro.coupons.model import codes, tickets
from lastro.coupons.model.event import USER_ID, Event
from lastro.coupons.model.issuance import ORDINAL, Issuance
from lastro.coupons.settings import CouponsSettings

from .guard import Guard
from .issuer import Issuer, Told
from .stored import event_of

INSIST_SECONDS = 1.0
"""How long an attempt is repeated, under its own id, while Redis is away, before its user hears 503."""
REASONS = {"draft": "it is not open yet", "paused": "it is paused", "early": "it has not started"}


_COUNTED = {word: ATTEMPTS.tally(word=word) for word in WORDS}
_guarded = GUARDED.tally()


@dataclass(frozen=True, slots=True)
class Given:
    """The answer to an attempt that has a coupon."""

    issuance: Issuance
    new: bool
    """Issued now; else the same as before."""


@dataclass(eq=False)
class Coupons:
    """Coupons on a hub and a database. Close it when the process stops."""

    hub: Hub
    settings: CouponsSettings
    database: Database = field(init=False)
    issuer: Issuer = field(init=False)
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self.database = Database(
            self.settings.database, self.settings.database_timeout_seconds, "LASTRO_COUPONS_DATABASE_URL"
        )
        self.issuer = Issuer(self.hub, self.settings.waiting_max, self.settings.replica_timeout_ms)
        self.guard = Guard(self.hub)

    async def aclose(self) -> None:
        """Close what is ours; the hub is its owner's."""
        await self.issuer.aclose()
        await self.guard.aclose()
        await self.database.aclose()

    async def issue(self, event_id: str, user_id: str, *, key: str = "", ticket: str = "") -> Given:
        """Give the user one coupon, once; asking again gives the same. ``key`` names an attempt.

        Raises SoldOut, NotOpen, EventOver, UnknownEvent, NotEligible, NotAdmitted, LimitReached, KeyRequired,
        and Busy when the outcome is not known: asking again is safe.
        """
        if not USER_ID.fullmatch(user_id):
            raise Invalid(field="user_id", reason="1 to 128 letters, digits and . _ @ : + -")
        if self.too_late(event_id, user_id):
            raise errors.SoldOut(event_id=event_id)
        return await self.decide(event_id, user_id, key=key, ticket=ticket)

    def too_late(self, event_id: str, user_id: str) -> bool:
        """Whether this process knows that all are gone and this user has none; counted as an attempt."""
        known = self.guard.sold_out(event_id, user_id)
        if known:
            _guarded()
        return known

    async def decide(self, event_id: str, user_id: str, *, key: str, ticket: str) -> Given:
        """As ``issue``, by the script alone: for who knows the user to be well named and not ``too_late``."""
        issuance_id = codes.new_id()
        signing = self.settings.signing
        attempt = (
            user_id,
            f"{issuance_id}|{codes.code_of(signing, issuance_id)}",
            _hash(key) if key else "",
            "1" if ticket and tickets.holds(signing, ticket, event_id, user_id, now_ms()) else "0",
        )
        told = await self._submit(event_id, attempt)
        _COUNTED[told.word]()
        if told.word in {"issued", "again"}:
            ordinal, _, record = told.about.partition("|")
            winner = user_id if ordinal == "1" else f"{user_id}{ORDINAL}{ordinal}"
            given = Issuance.read(event_id, winner, record)
            return Given(given, new=given.issuance_id == issuance_id)  # ours, though its first answer was lost
        if told.word == "sold_out":
            self.guard.learn(event_id, told.generation)
        raise _refusal(event_id, told)

    async def _submit(self, event_id: str, attempt: tuple[str, ...]) -> Told:
        """Again while Redis is away: the script knows the attempt by its user."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + INSIST_SECONDS, 0.01
        while True:
            try:
                return await self.issuer.submit(event_id, attempt)
            except (Unreachable, OutcomeUnknown):
                if loop.time() + pause > deadline:
                    raise
            await asyncio.sleep(uniform(0.5, 1) * pause)
            pause = min(0.2, pause * 2)

    async def event(self, event_id: str) -> Event:
        """An event as it stands. Raises UnknownEvent."""
        told = await scripts.look(
            self.hub.read,
            meta=keys.meta(event_id),
            stock=keys.stock(event_id),
            participants=keys.participants(event_id),
            returned=keys.returned(event_id),
        )
        if len(told) == 4:  # noqa: PLR2004  # nothing of meta came after
            raise errors.UnknownEvent(event_id=event_id)
        return event_of(event_id, told)

    async def issuances(self, event_id: str, user_id: str) -> list[Issuance]:
        """What the user has of the event, as Redis knows it."""
        winners = [user_id] + [f"{user_id}{ORDINAL}{n}" for n in range(2, 11)]
        records: list[Any] = await self.hub.read.hmget(keys.participants(event_id), winners)
        return [
            Issuance.read(event_id, winner, record.decode())
            for winner, record in zip(winners, records, strict=True)
            if record is not None
        ]

    async def live(self) -> list[str]:
        """The events that are not settled; not those that were named, and whose creator died before it made them."""
        found = sorted(await self.named())
        made = await asyncio.gather(*(self.hub.read.exists(keys.meta(event_id)) for event_id in found))
        return [event_id for event_id, there in zip(found, made, strict=True) if there]

    async def named(self) -> dict[str, int]:
        """Every name of an event that is not settled, and when it was given (ms)."""
        found: Any = await self.hub.read.hgetall(keys.LIVE)
        return {event_id.decode(): int(named_ms) for event_id, named_ms in found.items()}


def _hash(key: str) -> str:
    """Long enough to tell two of one user's apart."""
    return hashlib.blake2b(key.encode(), digest_size=9).hexdigest()


_NO: dict[str, type[LastroError]] = {
    "sold_out": errors.SoldOut,
    "unknown": errors.UnknownEvent,
    "closed": errors.EventOver,
    "settled": errors.EventOver,
    "recovering": errors.Recovering,
    "ineligible": errors.NotEligible,
    "not_admitted": errors.NotAdmitted,
    "limit": errors.LimitReached,
    "key_required": errors.KeyRequired,
}


def _refusal(event_id: str, told: Told) -> LastroError:
    match told.word:
        case "draft" | "paused":
            return errors.NotOpen(event_id=event_id, reason=REASONS[told.word])
        case "early":
            return errors.NotOpen(event_id=event_id, reason=REASONS["early"], retry_after_ms=int(told.about))
        case word:
            return _NO[word](event_id=event_id)
