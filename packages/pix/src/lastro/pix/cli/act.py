"""How every command runs: connect, one act, print, disconnect."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from typer import echo

from lastro.core.clock import iso
from lastro.core.money import brl
from lastro.core.redis import connect
from lastro.core.settings import Settings
from lastro.pix.engine.pix import Pix
from lastro.pix.model.codes import sentence
from lastro.pix.model.record import Record
from lastro.pix.settings import PixSettings

T = TypeVar("T")


def act(work: Callable[[Pix], Awaitable[T]]) -> T:
    """Do one thing on the configured store."""

    async def whole() -> T:
        async with await connect(Settings.read()) as hub:
            return await work(Pix.of(hub, PixSettings.read()))

    return asyncio.run(whole())


def show(value: Any) -> None:
    """As JSON, for scripts."""
    echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def line(record: Record) -> str:
    """A record in one line."""
    why = f" · {record.code}: {sentence(record.code)} (by {record.by})" if record.code and not record.is_return else ""
    return (
        f"{record.id}  {record.state}  {brl(record.cents)}  {record.payer} → {record.payee}  "
        f"{iso(record.received_ms)}{why}"
    )
