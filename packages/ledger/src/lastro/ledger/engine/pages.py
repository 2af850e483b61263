"""Queries without a limit."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from lastro.ledger.model.records import LIMIT_MAX, Account, QueryFilter, Transfer

Stored = TypeVar("Stored", Account, Transfer)


async def everything(
    query: Callable[[QueryFilter], Awaitable[list[Stored]]], *, ledger: int = 0, code: int = 0
) -> AsyncIterator[Stored]:
    """All that a query has, page by page."""
    wanted = QueryFilter(ledger=ledger, code=code)
    while page := await query(wanted):
        for each in page:
            yield each
        if len(page) < LIMIT_MAX:
            return
        wanted = replace(wanted, timestamp_min=page[-1].timestamp + 1)
