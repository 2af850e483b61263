"""One act on the engine from a terminal, and its answer as text."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from typer import Exit, echo

from lastro.core.redis import Hub, connect, connect_url
from lastro.core.settings import Settings
from lastro.ledger.engine import Ledger
from lastro.ledger.model.ids import named_id
from lastro.ledger.model.json import outcome_json, to_json, whole
from lastro.ledger.model.records import Account, Balance, Outcome, Transfer
from lastro.ledger.settings import LedgerSettings

Answer = TypeVar("Answer")


def run(act: Callable[[Ledger], Awaitable[Answer]], *, url: str | None = None) -> Answer:
    """Connect, act, disconnect."""
    return on_hub(lambda hub: act(Ledger(hub, LedgerSettings.read())), url=url)


def on_hub(act: Callable[[Hub], Awaitable[Answer]], *, url: str | None = None) -> Answer:
    """Likewise, for what is about the servers."""

    async def connected() -> Answer:
        hub = await (connect_url(url) if url else connect(Settings.read()))
        async with hub:
            return await act(hub)

    return asyncio.run(connected())


def number(field: str, text: str) -> int:
    """An id from its digits, or from a name that posting gave it, such as ``pix:99990001``. Raises Invalid."""
    return named_id(text) if ":" in text else whole(field, text)


def show(records: Sequence[Account | Transfer | Balance]) -> None:
    """A JSON object a line."""
    for record in records:
        echo(json.dumps(to_json(record)))


def tell(outcome: Outcome) -> None:
    """An outcome as JSON; ends with 1 if it was refused."""
    echo(json.dumps(outcome_json(outcome)))
    if not outcome.ok and outcome.status != "exists":
        raise Exit(1)
