"""A participant's statement: its movements, newest last, from the answers it was given."""

from dataclasses import dataclass
from typing import Any

from lastro.pix.model.payment import SETTLED_STATUSES

from .accounts import account
from .intake import arrived_ms
from .pix import Pix

PAGE = 500
COUNT_MAX = 500


@dataclass(frozen=True, slots=True)
class Movement:
    """One posting on a Conta PI."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    at_ms: int
    id: str
    cents: int
    """negative where money left"""
    what: str
    entry: str


async def movements(pix: Pix, ispb: str, *, count: int = 100, before: str = "+") -> list[Movement]:
    """The last postings before a point, newest last; as far back as answers are kept. Raises NoSuchParticipant."""
    await account(pix, ispb)
    wanted = max(1, min(count, COUNT_MAX))
    found: list[Movement] = []
    end = before
    while len(found) < wanted:
        page: Any = await pix.read.xrevrange(pix.keys.outbox(ispb), max=end if end == "+" else f"({end}", count=PAGE)
        for entry, fields in page:
            movement = _movement(entry, fields)
            if movement and len(found) < wanted:
                found.append(movement)
        if len(page) < PAGE:
            break
        end = page[-1][0].decode()
    return found[::-1]


def _movement(entry: bytes, fields: dict[bytes, bytes]) -> Movement | None:
    status = fields.get(b"status", b"").decode()
    if status not in SETTLED_STATUSES or b"id" not in fields:
        return None
    payment_id = fields[b"id"].decode()
    cents = int(fields[b"amount_cents"])
    credit = status == "ACCC"
    what = (
        ("return received" if credit else "return paid") if payment_id[0] == "D" else ("received" if credit else "paid")
    )
    return Movement(arrived_ms(entry), payment_id, cents if credit else -cents, what, entry.decode())
