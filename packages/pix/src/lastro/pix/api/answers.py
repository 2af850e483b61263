"""What the endpoints answer, for the engine's records and for the OpenAPI document."""

from typing_extensions import TypedDict  # of typing's pydantic reads none before 3.12

from lastro.pix.engine.accounts import Account
from lastro.pix.engine.orders import Event
from lastro.pix.engine.statements import Movement
from lastro.pix.model.payment import State
from lastro.pix.model.record import Record


class Named(TypedDict):
    """What was taken."""

    id: str


class Taken(Named):
    """A payment, and how far it is; RECEIVED when it is new."""

    state: str


class Told(TypedDict):
    """A payment or return as its callers see it."""

    id: str
    state: State
    amount_cents: int
    payer: str
    payee: str
    received_ms: int
    accepted_ms: int | None
    final_ms: int | None
    spi: str | None
    by: str | None
    archived: bool


class Status(Told):
    """The same, with what happened to it."""

    timeline: list[Event]


class Given(TypedDict):
    """What was given back at once."""

    id: str
    amount_cents: int
    reason: str
    at_ms: int


class Returns(TypedDict):
    """What was given back of a payment, and what still can be."""

    returns: list[Given]
    left_cents: int


class Statement(TypedDict):
    """A Conta PI and its latest movements."""

    account: Account
    movements: list[Movement]


class Text(TypedDict):
    """What a picture is to say."""

    text: str


def told(record: Record) -> Told:
    """A record as its callers see it."""
    return Told(
        id=record.id,
        state=record.state,
        amount_cents=record.cents,
        payer=record.payer,
        payee=record.payee,
        received_ms=record.received_ms,
        accepted_ms=record.accepted_ms or None,
        final_ms=record.final_ms or None,
        spi=record.code or None,
        by=record.by or None,
        archived=record.archived,
    )
