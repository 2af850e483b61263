"""How often one client may try, and who a client is."""

import pytest

from lastro.core.errors import Misconfigured, TooFast
from lastro.coupons.api.edge import Edge
from lastro.coupons.engine import throttle
from lastro.coupons.engine.throttle import Throttle
from lastro.coupons.settings import CouponsSettings


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_set_rate_within_five_percent() -> None:
    clock = Clock()
    limit = Throttle("user", per_second=10, burst=20, clock=clock)
    passed = 0
    for _ in range(10_000):  # ten seconds of asking a thousand times a second
        clock.now += 0.001
        try:
            limit.take("ana")
        except TooFast:
            continue
        passed += 1
    assert passed == pytest.approx(20 + 10 * 10, rel=0.05)


def test_one_who_is_too_fast_costs_others_nothing() -> None:
    limit = Throttle("user", per_second=1, burst=1, clock=Clock())
    limit.take("ana")
    with pytest.raises(TooFast) as told:
        limit.take("ana")
    assert told.value.about["retry_after_seconds"] == 1
    limit.take("bia")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "CLIENTS_MAX", 100)
    clock = Clock()
    limit = Throttle("user", per_second=1, burst=1, clock=clock)
    for n in range(1_000):
        limit.take(f"u{n}")
    assert len(limit._empty_at) <= 100


def test_who_is_held_stays_held_however_many_others_come() -> None:
    clock = Clock()
    limit = Throttle("address", per_second=1, burst=5, clock=clock)
    for _ in range(5):
        limit.take("held")
    for n in range(2 * throttle.CLIENTS_MAX):
        limit.take(f"other{n}")
    with pytest.raises(TooFast):
        limit.take("held")


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ("", "9.9.9.9", "1.1.1.1", "9.9.9.9"),
        ("10.0.0.0/8", "9.9.9.9", "1.1.1.1", "9.9.9.9"),
        ("10.0.0.0/8", "10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        ("10.0.0.0/8", "", "1.1.1.1", "1.1.1.1"),
        ("", "", "1.1.1.1", ""),
        ("10.0.0.0/8", "10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "1.1.1.1:5000", "1.1.1.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:1.1.1.1", "1.1.1.1"),
        ("10.0.0.0/8", "10.0.0.1", "2001:db8::7", "2001:db8::/64"),
        ("10.0.0.0/8,fd00::/8", "10.0.0.1", "6.6.6.6, [2001:db8::7]:5000, [fd00::1]:80", "2001:db8::/64"),
        ("", "2001:db8::7", "", "2001:db8::/64"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, ", "10.0.0.1"),
        ("10.0.0.0/8", "", "6.6.6.6, unknown", ""),
    ],
)
def test_who_forwards_is_believed_only_when_trusted(trusted: str, peer: str, forwarded: str, client: str) -> None:
    """An address that a client wrote itself stands left of what our proxies added, and is never reached."""
    assert Edge(CouponsSettings(trusted_proxies=trusted)).client_of(peer, forwarded) == client


def test_addresses_are_limited_where_that_is_set_and_a_wrong_network_is_told() -> None:
    edge = Edge(CouponsSettings(address_per_second=1, address_burst=1, user_per_second=0))
    scope = {"client": ("1.1.1.1", 5), "headers": []}
    names = [name for name, _ in edge.take("ana", scope)]
    assert names == [b"ratelimit-policy", b"ratelimit"]
    with pytest.raises(TooFast):
        edge.take("bia", scope)
    with pytest.raises(Misconfigured):
        Edge(CouponsSettings(trusted_proxies="10.0.0.0/99"))
