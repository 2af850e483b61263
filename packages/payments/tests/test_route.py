"""Where a payment goes, by expected profit; and what a place learns from its answers."""

import time
from decimal import Decimal

import pytest

from lastro.payments.engine.http import HttpClient
from lastro.payments.engine.place import PROBES_MAX, ROOM_MIN, Place
from lastro.payments.engine.processor import Client
from lastro.payments.model import Health, patience, route

WELL, SLOW, CRAWLING, DOWN = Health(), Health(delay_ms=1_000), Health(delay_ms=5_000), Health(failing=True)


@pytest.mark.parametrize(
    ("default", "fallback", "at_once", "after_patience"),
    [
        (WELL, WELL, "default", "default"),
        (SLOW, WELL, "default", "default"),
        (CRAWLING, WELL, "fallback", "fallback"),
        (CRAWLING, CRAWLING, "default", "default"),
        (Health(delay_ms=5_000), Health(delay_ms=2_000), None, "fallback"),
        (DOWN, WELL, None, "fallback"),
        (DOWN, CRAWLING, None, "fallback"),
        (WELL, DOWN, "default", "default"),
        (CRAWLING, DOWN, "default", "default"),
        (DOWN, DOWN, None, None),
    ],
)
def test_the_cheaper_processor_is_preferred_while_it_pays(
    default: Health, fallback: Health, at_once: str | None, after_patience: str | None
) -> None:
    assert route(default, fallback, held_ms=0, patience_ms=10) == at_once
    assert route(default, fallback, held_ms=10, patience_ms=10) == after_patience


def test_a_payment_is_held_the_longer_the_more_it_saves() -> None:
    assert patience(Decimal("0.05"), Decimal("0.15"), 11_000) == 11_000
    assert patience(Decimal("0.07"), Decimal("0.10"), 11_000) == 3_300
    assert patience(Decimal("0.05"), Decimal("0.50"), 11_000) == 11_000
    assert patience(Decimal("0.15"), Decimal("0.05"), 11_000) == 0


@pytest.fixture
def place() -> Place:
    """Room for 64."""
    return Place("default", Client(HttpClient("http://127.0.0.1:1", 1, 1)), 64)


def test_room_is_halved_by_a_full_processor_and_grows_back_with_each_success(place: Place) -> None:
    place.answered("refused", "too many", 0.1)
    assert (place.room, place.health.failing) == (32, False)
    for _ in range(10):
        place.answered("refused", "too many", 0.1)
    assert place.room == ROOM_MIN
    for _ in range(100):
        place.answered("taken", "", 0.1)
    assert place.room == 64


def test_a_refusal_opens_the_circuit_and_one_payment_at_a_time_probes_it(place: Place) -> None:
    place.answered("taken", "", 0.001)
    assert place.free == 64
    place.answered("refused", "failing", 0.001)
    assert (place.free, place.seen().failing) == (0, True)
    place.probing_until = 0.0
    assert (place.free, place.seen().failing) == (1, False)
    place.chosen()
    assert place.free == 0
    place.probing_until = 0.0
    place.coming = PROBES_MAX
    assert place.free == 0, "what probes are open is enough"
    place.answered("taken", "", 0.001)
    assert (place.health.failing, place.free) == (False, 64 - PROBES_MAX)


def test_an_open_request_that_grows_old_counts_as_slowness_before_its_answer_comes(place: Place) -> None:
    place.answered("taken", "", 0.001)
    place.sent_at["a"] = place.answered_at - 3
    assert place.seen().delay_ms >= 3_000


def test_a_payment_that_is_tried_again_and_again_makes_no_place_look_slow(place: Place) -> None:
    for seconds_ago in (30.0, 20.0, 0.0):
        place.opened("1", time.monotonic() - seconds_ago)
    assert place.seen().delay_ms < 1_000
    assert place.in_flight == 1


def test_a_place_that_is_full_and_slow_makes_way_for_the_other(place: Place) -> None:
    place.answered("taken", "", 2.0)
    place.coming = place.room
    assert place.seen() == Health(failing=True, delay_ms=500)
