"""The tables, up and down with data in them, on SQLite and on PostgreSQL."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from lastro.core.database import DatabaseRefused, migrate
from lastro.coupons.engine import Coupons
from lastro.coupons.engine.database import TABLES, schema

from .conftest import opened, persisted

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["embedded"], indirect=True)]

ISSUED = "SELECT issuance_id, user_id, seq, code, status FROM coupon_issuances ORDER BY seq"
EVENTS = "SELECT event_id, name, total_quantity, state FROM coupons"
CHARGE = {"issuance_id": "i", "amount_cents": 7, "charge_cents": 5, "state": "waiting", "created_ms": 1}


async def test_what_is_in_the_tables_outlives_every_step_up_and_down(here: Coupons) -> None:
    """Down to the first version and up again: coupons and their events stay; what newer tables had goes with them."""
    await opened(here, total=5, discount_cents=250)
    await asyncio.gather(*(here.issue("e", f"user{n}") for n in range(5)))
    await persisted(here)
    await here.database.run(lambda c: c.execute(sa.insert(schema.charges).values(correlation_id="c", **CHARGE)))
    before = await _rows(here, ISSUED), await _rows(here, EVENTS)
    assert len(before[0]) == 5

    assert await _to(here, "downgrade", "0001") == "0001"
    assert (await _rows(here, ISSUED), await _rows(here, EVENTS)) == before
    with_first = await here.database.run(lambda c: set(sa.inspect(c).get_table_names()))
    assert "coupon_charges" not in with_first

    assert await _to(here, "upgrade", "head") == TABLES.head
    assert (await _rows(here, ISSUED), await _rows(here, EVENTS)) == before
    assert await _rows(here, "SELECT discount_cents FROM coupons") == [(0,)]
    assert await _rows(here, "SELECT * FROM coupon_charges") == []
    await here.issue("e", "user0")  # what Redis knows did not change, and new rows still fit
    await opened(here, "f", total=1)
    await here.issue("f", "ana")
    await persisted(here, "f")
    assert len(await _rows(here, ISSUED)) == 6


async def test_constraints_hold_after_a_way_down_and_up(here: Coupons) -> None:
    await opened(here, total=2)
    await asyncio.gather(*(here.issue("e", user) for user in ("ana", "bia")))
    await persisted(here)
    await _to(here, "downgrade", "0001")
    await _to(here, "upgrade", "head")

    def wrong(connection: sa.Connection) -> int:
        return connection.execute(sa.update(schema.issuances).values(seq=1)).rowcount

    with pytest.raises(Exception, match=r"(?i)unique"):
        await here.database.run(wrong)


async def test_a_charge_that_was_being_told_counts_as_told_a_step_down_and_stays_so(here: Coupons) -> None:
    telling = sa.insert(schema.charges).values(correlation_id="c", **CHARGE | {"state": "telling"})
    await here.database.run(lambda c: c.execute(telling))
    before = await here.database.run(lambda c: sa.inspect(c).get_indexes("coupon_charges"))
    assert await _to(here, "downgrade", "0003") == "0003"
    with pytest.raises(DatabaseRefused, match="charges_state"):
        await here.database.run(lambda c: c.execute(telling.values(correlation_id="d")))
    await _to(here, "upgrade", "head")
    await here.database.run(lambda c: c.execute(telling.values(correlation_id="d")))
    assert await _rows(here, "SELECT * FROM coupon_charges ORDER BY 1") == [
        ("c", "i", 7, 5, "sent", 1),
        ("d", "i", 7, 5, "telling", 1),
    ]
    assert await here.database.run(lambda c: sa.inspect(c).get_indexes("coupon_charges")) == before


async def _to(coupons: Coupons, way: str, version: str) -> str:
    return str(await asyncio.to_thread(getattr(migrate, way), coupons.database, TABLES, version))


async def _rows(coupons: Coupons, query: str) -> list[tuple[Any, ...]]:
    return await coupons.database.run(lambda c: [tuple(row) for row in c.execute(sa.text(query))])
