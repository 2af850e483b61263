"""The rules of coupons, one concept each."""

import asyncio
import time
from typing import Any

import pytest
from pydantic import SecretStr

from lastro.core.clock import now_ms
from lastro.core.database import DatabaseAway
from lastro.core.errors import Invalid
from lastro.core.redis import Hub
from lastro.core.testing import standstill, wait_for
from lastro.coupons import errors, keys
from lastro.coupons.engine import Coupons, events
from lastro.coupons.engine.outbox import entries, outbox
from lastro.coupons.engine.panel import panel
from lastro.coupons.engine.recover import recover
from lastro.coupons.model.event import Plan
from lastro.coupons.model.issuance import Issuance
from lastro.coupons.settings import CouponsSettings

from .conftest import opened, persisted

pytestmark = pytest.mark.anyio


async def test_the_last_coupon_goes_to_one_of_two_simultaneous_requests(coupons: Coupons) -> None:
    """Of two requests at once for the last coupon, exactly one gets it and the other hears "sold out"."""
    await opened(coupons, total=1)
    answers = await asyncio.gather(*(coupons.issue("e", user) for user in "ab"), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Given", "SoldOut"]


async def test_a_winner_who_asks_again_gets_the_same_coupon(coupons: Coupons) -> None:
    await opened(coupons, total=1)
    first, again = await coupons.issue("e", "ana"), await coupons.issue("e", "ana")
    assert (first.new, again.new) == (True, False)
    assert first.issuance == again.issuance
    assert (await coupons.event("e")).stock == 0


async def test_a_winner_gets_the_same_coupon_also_when_this_process_knows_it_is_sold_out(coupons: Coupons) -> None:
    await opened(coupons, total=1)
    first = await coupons.issue("e", "ana")
    with pytest.raises(errors.SoldOut):
        await coupons.issue("e", "bia")
    await wait_for(lambda: coupons.guard.sold_out("e", "bia"), "the process to know")
    assert (await coupons.issue("e", "ana")).issuance == first.issuance


async def test_a_unit_that_comes_back_reopens_the_event_in_every_process_within_a_second(coupons: Coupons) -> None:
    await opened(coupons, total=0)
    with pytest.raises(errors.SoldOut):
        await coupons.issue("e", "ana")
    await wait_for(lambda: coupons.guard.sold_out("e", "ana"), "the process to know")
    async with standstill(coupons.hub) as lost:
        await events.resize(coupons, "e", 1, "once")
        told = time.monotonic()
        await wait_for(lambda: not coupons.guard.sold_out("e", "ana"), "the process to hear")
        assert time.monotonic() - told - lost.seconds < 1
    assert (await coupons.issue("e", "ana")).new


async def test_every_issuance_is_told_to_the_stream_in_the_script_that_decides(coupons: Coupons) -> None:
    await opened(coupons, total=2)
    given = (await coupons.issue("e", "ana")).issuance
    *_, fields = [fields async for _, fields in entries(outbox(coupons.hub, "e"))]
    assert Issuance.read("e", fields[b"winner"].decode(), fields[b"record"].decode()) == given


async def test_an_unknown_event_is_unknown_and_writes_nothing(coupons: Coupons) -> None:
    with pytest.raises(errors.UnknownEvent):
        await coupons.issue("nowhere", "ana")
    assert await coupons.hub.read.dbsize() == 0 if not coupons.hub.capabilities.cluster else True


@pytest.mark.parametrize(
    ("plan", "act", "refusal"),
    [
        ({"starts_ms": 4_000_000_000_000}, None, errors.NotOpen),
        ({"ends_ms": 1}, None, errors.EventOver),
        ({}, events.pause, errors.NotOpen),
        ({}, events.close, errors.EventOver),
        ({"eligible_only": True}, None, errors.NotEligible),
        ({"room_per_second": 5}, None, errors.NotAdmitted),
        ({"per_user_limit": 2}, None, errors.KeyRequired),
        ({"total": 0}, events.pause, errors.SoldOut),
    ],
)
async def test_the_script_decides_by_state_window_and_user(
    coupons: Coupons, plan: dict[str, object], act: object, refusal: type[Exception]
) -> None:
    """By the server's clock; the sold-out answer comes before all of them, and nothing is taken from stock."""
    await opened(coupons, **{"total": 1, **plan})  # type: ignore[arg-type]  # a table of plans
    if act is not None:
        await act(coupons, "e")  # type: ignore[operator]  # likewise
    with pytest.raises(refusal):
        await coupons.issue("e", "ana")
    event = await coupons.event("e")
    assert (event.stock, event.issued) == (event.total, 0)


async def test_an_event_opens_pauses_and_closes(coupons: Coupons) -> None:
    await events.create(coupons, Plan(event_id="e", total=1))
    with pytest.raises(errors.NotOpen):
        await coupons.issue("e", "ana")
    states = [(await act(coupons, "e")).state for act in (events.open_event, events.pause, events.open_event)]
    assert states == ["open", "paused", "open"]
    await coupons.issue("e", "ana")
    assert (await coupons.event("e")).state == "sold_out"
    assert (await events.close(coupons, "e")).state == "closed"
    with pytest.raises(errors.WrongState):
        await events.open_event(coupons, "e")


async def test_coupons_that_could_never_be_redeemed_are_not_promised(coupons: Coupons) -> None:
    """Nor is an event given more time than its coupons have; one that is there is created again as it was."""
    soon = now_ms() + 60_000
    for plan in (
        {"valid_until_ms": 1},
        {"valid_until_ms": soon, "starts_ms": soon},
        {"valid_until_ms": soon, "ends_ms": soon + 1},
    ):
        with pytest.raises(Invalid, match="valid_until"):
            await opened(coupons, **plan)  # type: ignore[arg-type]  # parts of a plan
    await opened(coupons, valid_until_ms=soon, ends_ms=soon)
    for window in ((soon, 0), (0, soon + 1)):
        with pytest.raises(Invalid, match="valid_until"):
            await events.schedule(coupons, "e", *window)
    await coupons.hub.write.hset(keys.meta("e"), mapping={"valid_until_ms": 2, "starts_ms": 0, "ends_ms": 0})
    await opened(coupons, valid_until_ms=2)


async def test_an_event_that_was_over_is_not_closed_when_it_was_given_more_time_meanwhile(coupons: Coupons) -> None:
    """Closing is for good: the upkeep closes what it looked at, and nothing else."""
    await opened(coupons, starts_ms=1, ends_ms=2)
    looked_at = await coupons.event("e")
    assert (looked_at.stored, looked_at.state) == ("open", "closed")
    await events.schedule(coupons, "e", 0, 0)
    await events.end(coupons, looked_at)
    assert (await coupons.event("e")).stored == "open"
    await events.schedule(coupons, "e", 1, 2)
    await events.end(coupons, await coupons.event("e"))
    assert (await coupons.event("e")).stored == "closed"


async def test_creating_twice_changes_nothing_and_another_event_of_that_name_is_refused(coupons: Coupons) -> None:
    await opened(coupons, total=2)
    await coupons.issue("e", "ana")
    await opened(coupons, total=2)
    assert (await coupons.event("e")).stock == 1
    with pytest.raises(errors.EventExists):
        await opened(coupons, total=3)


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_an_event_that_redis_lost_is_not_created_a_second_time(here: Coupons) -> None:
    """Else all its coupons are given again, and none of their rows has a place beside the first ones."""
    await opened(here)
    await here.issue("e", "ana")
    await persisted(here)
    await here.hub.write.flushall()
    with pytest.raises(errors.EventExists, match="recover it"):
        await opened(here)
    assert await here.live() == []
    await recover(here, "e")
    await opened(here)
    assert (await here.event("e")).issued == 1


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_the_name_of_a_settled_event_is_never_given_again(here: Coupons) -> None:
    """Not after Redis forgot it either: its coupons may still be used."""
    await opened(here)
    await events.close(here, "e")
    await persisted(here)
    await events.settle(here, "e")
    await here.hub.write.flushall()
    with pytest.raises(errors.EventExists, match="another name"):
        await opened(here)


async def test_nobody_can_tell_whether_an_event_is_new_while_the_database_is_away(coupons: Coupons) -> None:
    """What Redis has needs no database, not even to be created again."""
    await opened(coupons)
    away = CouponsSettings(database_url=SecretStr("postgresql+psycopg://nobody@127.0.0.1:1/nowhere"))
    engine = Coupons(coupons.hub, away)
    with pytest.raises(DatabaseAway):
        await opened(engine, "f")
    assert await coupons.live() == ["e"]
    await opened(engine)
    await engine.aclose()


async def test_a_database_without_tables_has_no_event_yet(hub: Hub, settings: CouponsSettings) -> None:
    """Who creates the first need not wait for the worker that makes them."""
    engine = Coupons(hub, settings)
    await opened(engine)
    assert (await engine.issue("e", "ana")).new
    await engine.aclose()


async def test_an_event_grows_and_shrinks_by_a_difference_once_per_id(coupons: Coupons) -> None:
    await opened(coupons, total=2)
    await coupons.issue("e", "ana")
    for _ in range(2):
        event = await events.resize(coupons, "e", 3, "more")
    assert (event.stock, event.total) == (4, 5)
    with pytest.raises(errors.TooSmall):
        await events.resize(coupons, "e", -5, "less")
    assert (await coupons.event("e")).adds_up


async def test_one_id_of_two_differences_is_refused_and_changes_nothing(coupons: Coupons) -> None:
    await opened(coupons, total=2)
    await events.resize(coupons, "e", 3, "more")
    for delta in (30, -3):
        with pytest.raises(errors.KeyReused):
            await events.resize(coupons, "e", delta, "more")
    assert (await events.resize(coupons, "e", 3, "more")).total == 5


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_a_settled_event_changes_no_more_and_what_it_gave_still_counts(coupons: Coupons) -> None:
    """Its keys have an end: whatever would be written beside them would stay for ever."""
    await opened(coupons)
    await opened(coupons, "f", total=9, room_per_second=5)
    await coupons.issue("e", "ana")
    await coupons.issue("f", "ana", ticket=(await events.join(coupons, "f", "ana")).ticket)
    await events.close(coupons, "f")
    await persisted(coupons, "f")
    for _ in range(2):
        assert (await panel(coupons.hub)).done == 2
        await events.settle(coupons, "f")
    for late in (
        events.resize(coupons, "f", 1, "k"),
        events.allow(coupons, "f", ["zoe"]),
        events.join(coupons, "f", "z"),
    ):
        with pytest.raises(errors.EventOver):
            await late
    assert (await panel(coupons.hub)).done == 2


async def test_a_user_may_have_several_each_under_its_key(coupons: Coupons) -> None:
    await opened(coupons, total=5, per_user_limit=2)
    one, two, again = [(await coupons.issue("e", "ana", key=key)) for key in ("k1", "k2", "k1")]
    assert (one.issuance.ordinal, two.issuance.ordinal) == (1, 2)
    assert again.issuance == one.issuance
    with pytest.raises(errors.LimitReached):
        await coupons.issue("e", "ana", key="k3")
    assert await coupons.issuances("e", "ana") == [one.issuance, two.issuance]


async def test_only_named_users_may_have_a_coupon_where_some_are_named(coupons: Coupons) -> None:
    await opened(coupons, eligible_only=True)
    assert await events.allow(coupons, "e", ["ana", "bia"]) == 2
    assert (await coupons.issue("e", "ana")).new


async def test_the_waiting_room_gives_a_ticket_at_ones_turn_and_knows_the_stock(coupons: Coupons) -> None:
    await opened(coupons, total=1, room_per_second=2)
    places = [await events.join(coupons, "e", user) for user in ("ana", "bia", "caio", "ana")]
    assert [place.position for place in places] == [0, 0, 1, 0]
    assert places[2].poll_after_ms >= 1000
    with pytest.raises(errors.NotAdmitted):
        await coupons.issue("e", "bia", ticket=places[0].ticket)
    assert (await coupons.issue("e", "ana", ticket=places[0].ticket)).new
    with pytest.raises(errors.SoldOut):
        await events.join(coupons, "e", "caio")


async def aged(coupons: Coupons, seconds: int) -> None:
    """As if all that was noted of the event's waiting room had been noted so long before."""
    times: Any = await coupons.hub.read.hmget(keys.meta("e"), ["room_ms", "held_ms"])
    for name, at_ms in zip(("room_ms", "held_ms"), times, strict=True):
        if at_ms is not None:
            await coupons.hub.write.hset(keys.meta("e"), name, str(int(at_ms) - seconds * 1000))


async def test_the_waiting_room_saves_up_no_admissions_while_its_event_is_not_open(coupons: Coupons) -> None:
    """A draft or a pause would end with a crowd let in at once; who waits keeps the place."""

    async def admitted() -> int:
        return 40 - (await events.join(coupons, "e", "u40")).position

    await events.create(coupons, Plan(event_id="e", total=50, room_per_second=1))
    places = [await events.join(coupons, "e", f"u{n}") for n in range(1, 41)]
    assert [place.position for place in places] == list(range(1, 41))
    await aged(coupons, 3_600)
    began = time.monotonic()
    await events.open_event(coupons, "e")
    assert 1 <= await admitted() <= 1 + time.monotonic() - began
    await aged(coupons, 5)
    await events.pause(coupons, "e")
    await aged(coupons, 3_600)
    assert 6 <= await admitted() <= 6 + time.monotonic() - began
    await events.open_event(coupons, "e")
    assert 6 <= await admitted() <= 6 + time.monotonic() - began


async def test_the_waiting_room_saves_up_no_admissions_while_nobody_comes(coupons: Coupons) -> None:
    """As many as a second's are let in together, and those who were before are in."""
    await opened(coupons, total=50, room_per_second=2)
    assert (await events.join(coupons, "e", "u1")).position == 0
    await aged(coupons, 3_600)
    began = time.monotonic()
    places = [(await events.join(coupons, "e", f"u{n}")).position for n in range(2, 41)]
    assert places[:2] == [0, 0]
    assert 3 <= 40 - places[-1] <= 3 + 2 * (time.monotonic() - began)
    assert (await events.join(coupons, "e", "u3")).position == 0


async def test_there_is_a_limit_to_the_events_that_are_not_settled(coupons: Coupons) -> None:
    object.__setattr__(coupons.settings, "events_max", 1)
    await opened(coupons)
    with pytest.raises(errors.TooManyEvents):
        await opened(coupons, "f")


async def test_codes_are_unguessable_and_carry_a_check_character(coupons: Coupons) -> None:
    await opened(coupons, total=50)
    given = await asyncio.gather(*(coupons.issue("e", f"user{n}") for n in range(50)))
    assert len({one.issuance.code for one in given}) == 50
    assert sorted(one.issuance.seq for one in given) == list(range(1, 51))
