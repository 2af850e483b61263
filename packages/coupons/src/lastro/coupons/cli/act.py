"""How every command runs: connect, one act, print, disconnect."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
from typer import Argument, Option, echo

from lastro.core.clock import parse_iso
from lastro.core.database import migrate
from lastro.core.redis import connect
from lastro.core.settings import Settings
from lastro.coupons.engine import Coupons
from lastro.coupons.engine.database import TABLES
from lastro.coupons.model.event import NEVER_MS, Event
from lastro.coupons.settings import CouponsSettings

Answer = TypeVar("Answer")
AsJson = Annotated[bool, Option("--json", help="for scripts")]
EventId = Annotated[str, Argument(help="which event")]
IssuanceId = Annotated[str, Argument(help="which coupon")]
OrderRef = Annotated[str, Argument(help="the order it is for")]


def act(work: Callable[[Coupons], Awaitable[Answer]], *, database: bool = True) -> Answer:
    """Do one thing on the configured store and database."""

    async def whole() -> Answer:
        async with await connect(Settings.read()) as hub:
            coupons = Coupons(hub, CouponsSettings.read())
            try:
                if database:
                    await asyncio.to_thread(migrate.upgrade, coupons.database, TABLES)
                return await work(coupons)
            finally:
                await coupons.aclose()

    return asyncio.run(whole())


def show(value: Any) -> None:
    """As JSON, for scripts."""
    echo(json.dumps(msgspec.to_builtins(value), indent=2))


def line(event: Event) -> str:
    """An event in one line."""
    return (
        f"{event.plan.event_id}  {event.state}  {max(0, event.stock)} of {event.total} left, {event.issued} issued"
        f"{f', {event.returned} returned' if event.returned else ''}"
    )


def moment_ms(text: str | None, field: str) -> int:
    """ISO 8601, or nothing."""
    return NEVER_MS if text is None else parse_iso(text, field=field) or 1  # 0 is never
