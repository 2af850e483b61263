"""The waiting room's signed word that a user may try now."""

import base64
import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a user stands in the waiting room."""

    position: int
    """Users before this one; 0 may try now."""
    stock: int
    poll_after_ms: int
    ticket: str = ""
    """Shown with the attempt; empty while waiting, and when nothing is left to try for."""


def sign(secret: bytes, event_id: str, user_id: str, until_ms: int) -> str:
    """``until_ms.signature``, for one user of one event."""
    return f"{until_ms}.{_signature(secret, event_id, user_id, until_ms)}"


def holds(secret: bytes, ticket: str, event_id: str, user_id: str, now_ms: int) -> bool:
    """Whether we signed this ticket for this user and it is not over."""
    until, _, given = ticket.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) < 16 and given.isascii()) or int(until) <= now_ms:  # noqa: PLR2004  # ms have 13 digits
        return False
    return hmac.compare_digest(given, _signature(secret, event_id, user_id, int(until)))


def _signature(secret: bytes, event_id: str, user_id: str, until_ms: int) -> str:
    told = hmac.digest(secret, f"ticket|{event_id}|{user_id}|{until_ms}".encode(), "sha256")
    return base64.urlsafe_b64encode(told[:18]).decode()
