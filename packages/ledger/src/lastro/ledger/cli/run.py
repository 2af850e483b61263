"""One act on the engine from a terminal, and its answer as text."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from typer import Exit, echo

from lastro.core.errors import Refused
from lastro.core.redis import Hub, connect, connect_url
from lastro.core.settings import Settings
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.shards import Shards
from lastro.ledger.model.ids import named_id
from lastro.ledger.model.json import outcome_json, to_json, whole
from lastro.ledger.model.records import Account, Balance, Outcome, Transfer
from lastro.ledger.settings import LedgerSettings

Answer = TypeVar("Answer")


class InShards(Refused):
    """The ledger is in {shards} shards, and this is for one without: LASTRO_LEDGER_SHARDS=1 is that beside them."""

    code = "ledger.in_shards"


def run(act: Callable[[Ledger | Shards], Awaitable[Answer]], *, decide: bool = False) -> Answer:
    """Connect, act on the ledger, or on its shards if it has any, disconnect. Who writes decides how many there are."""
    settings = LedgerSettings.read()

    async def opened(hub: Hub) -> Answer:
        if settings.shards == 1:
            return await act(Ledger(hub, settings))
        return await act(await Shards.open(hub, settings, settings.shards, decide=decide))

    return on_hub(opened)


def run_one(act: Callable[[Ledger], Awaitable[Answer]], *, url: str | None = None) -> Answer:
    """Likewise, for what only a ledger without shards can do. Raises InShards."""
    settings = LedgerSettings.read()
    if settings.shards > 1:
        raise InShards(shards=settings.shards)
    return on_hub(lambda hub: act(Ledger(hub, settings)), url=url)


def on_hub(act: Callable[[Hub], Awaitable[Answer]], *, url: str | None = None) -> Answer:
    """Likewise, for what is about the servers."""

    async def connected() -> Answer:
        hub = await (connect_url(url) if url else connect(Settings.read()))
        async with hub:
            return await act(hub)

    return asyncio.run(connected())


def number(field: str, text: str) -> int:
    """An id from its digits, or from a name that posting gave it: ``pix:99990001``. Raises Invalid, InShards."""
    if ":" not in text:
        return whole(field, text)
    if (shards := LedgerSettings.read().shards) > 1:  # posting writes to the ledger beside them
        raise InShards(shards=shards)
    return named_id(text)


def show(records: Sequence[Account | Transfer | Balance]) -> None:
    """A JSON object a line."""
    for record in records:
        echo(json.dumps(to_json(record)))


def tell(outcome: Outcome) -> None:
    """An outcome as JSON; ends with 1 if it was refused."""
    echo(json.dumps(outcome_json(outcome)))
    if not outcome.ok and outcome.status != "exists":
        raise Exit(1)
