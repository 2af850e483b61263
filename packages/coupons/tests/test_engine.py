"""The rules of coupons, one concept each."""

import asyncio

import pytest

from lastro.core.redis import Hub
from lastro.coupons import keys
from lastro.coupons.engine import Coupons
from lastro.coupons.errors import SoldOut, UnknownEvent
from lastro.coupons.settings import CouponsSettings

pytestmark = pytest.mark.anyio


async def test_the_last_coupon_goes_to_one_of_two_simultaneous_requests(hub: Hub) -> None:
    coupons = Coupons(hub, CouponsSettings())
    await coupons.open_event("e", 1)
    answers = await asyncio.gather(*(coupons.issue("e", user) for user in "ab"), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Issuance", "SoldOut"]


async def test_a_winner_who_asks_again_gets_the_same_coupon(hub: Hub) -> None:
    coupons = Coupons(hub, CouponsSettings())
    await coupons.open_event("e", 2)
    assert await coupons.issue("e", "a") == await coupons.issue("e", "a")
    assert await hub.read.xlen(keys.events("e")) == 1


async def test_an_event_that_was_never_opened_is_unknown_and_an_empty_one_is_sold_out(hub: Hub) -> None:
    coupons = Coupons(hub, CouponsSettings())
    with pytest.raises(UnknownEvent):
        await coupons.issue("nowhere", "a")
    await coupons.open_event("e", 0)
    with pytest.raises(SoldOut):
        await coupons.issue("e", "a")
