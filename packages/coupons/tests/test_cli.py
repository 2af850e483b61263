"""The command line, where the README does not go: states, dead letters, tables, refusals."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from lastro.core import local
from lastro.core.cli import main
from lastro.coupons import keys
from lastro.coupons.engine.database import TABLES

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[local.Server]:
    """A server and a database of its own."""
    server = local.start(tmp_path / "store", durability="always")
    monkeypatch.setenv("LASTRO_REDIS_URL", server.url)
    monkeypatch.setenv("LASTRO_DATA_DIR", str(tmp_path))
    yield server
    server.stop()


def told(capsys: Capture, *args: str) -> str:
    main(["coupons", *args])
    return capsys.readouterr().out


def test_an_event_goes_through_its_states(capsys: Capture) -> None:
    assert "draft" in told(capsys, "create", "e", "5", "--eligible-only", "--discount-cents", "300")
    assert "scheduled" in told(capsys, "schedule", "e", "2100-01-01T00:00:00Z", "2100-01-02T00:00:00Z")
    assert "open" in told(capsys, "open", "e")
    assert "2 added" in told(capsys, "allow", "e", "ana", "bia")
    assert "paused" in told(capsys, "pause", "e")
    assert "3 of 3 left" in told(capsys, "resize", "e", "--", "-2")
    assert "closed" in told(capsys, "close", "e")
    assert "e  closed" in told(capsys, "list")


def test_what_is_refused_is_a_sentence_and_exit_code_1(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        told(capsys, "issue", "nowhere", "ana")
    assert ended.value.code == 1
    assert "There is no event nowhere." in capsys.readouterr().err


def test_who_waits_gets_a_ticket_and_with_it_a_coupon(capsys: Capture) -> None:
    told(capsys, "create", "e", "5", "--open", "--room-per-second", "1", "--starts-at", "2100-01-01T00:00:00Z")
    assert "before you" in told(capsys, "join", "e", "ana")
    told(capsys, "open", "e")
    ticket = told(capsys, "join", "e", "ana").strip()
    given = told(capsys, "issue", "e", "ana", "--ticket", ticket)
    assert given.startswith("issued 1")
    assert told(capsys, "of", "e", "ana").split() == given.split()[1:4]
    assert [one["code"] for one in json.loads(told(capsys, "of", "e", "ana", "--json"))] == given.split()[2:3]
    assert json.loads(told(capsys, "join", "e", "bia", "--json"))["stock"] == 4
    for words in (
        ("issue", "e", "ana#2"),
        ("issue", "e", "x" * 129),
        ("join", "e", "#"),
        ("of", "nowhere", "ana"),
        ("dead", "list", "e", "--after", "x"),
    ):
        with pytest.raises(SystemExit):
            told(capsys, *words)


def test_the_tables_go_up_and_down(capsys: Capture) -> None:
    assert told(capsys, "migrate") == f"sqlite is at {TABLES.head}\n"
    assert told(capsys, "migrate", "0001", "--down") == "sqlite is at 0001\n"
    assert told(capsys, "migrate", "base", "--down") == "sqlite is at base\n"


def test_dead_letters_are_listed_shown_replayed_and_discarded(capsys: Capture, store: local.Server) -> None:
    told(capsys, "create", "e", "5", "--open")
    letter = [
        "reason",
        "invalid",
        "error",
        "no",
        "deliveries",
        1,
        "first_ms",
        1,
        "last_ms",
        2,
        "id",
        "1-1",
        "winner",
        "z",
    ]
    with Redis(unix_socket_path=str(store.socket)) as redis:
        one, two = [redis.execute_command("XADD", f"{keys.events('e')}:dead", "*", *letter).decode() for _ in range(2)]
    assert told(capsys, "dead", "list", "e").count("invalid") == 2
    assert [letter["id"] for letter in json.loads(told(capsys, "dead", "list", "e", "--json"))] == [one, two]
    assert json.loads(told(capsys, "dead", "show", "e", one))["fields"] == {"winner": "z"}
    for words in (("show", "e", "1-1"), ("replay", "e", "1-1"), ("discard", "e", "1-1"), ("list", "nowhere")):
        with pytest.raises(SystemExit) as ended:
            told(capsys, "dead", *words)
        assert ended.value.code == 1
        assert capsys.readouterr().err.startswith(("The event e has no dead letter 1-1.", "There is no event nowhere."))
    assert told(capsys, "dead", "discard", "e", one) == "1 discarded\n"
    assert told(capsys, "dead", "replay", "e", "all") == "1 replayed\n"
    assert told(capsys, "dead", "list", "e") == ""


def test_a_reconciliation_that_left_something_says_what_and_ends_with_1(capsys: Capture, store: local.Server) -> None:
    """However much else it repaired."""
    told(capsys, "create", "e", "5", "--open")
    for user in ("ana", "bia", "caio"):
        told(capsys, "issue", "e", user)
    told(capsys, "rebuild", "e")
    with Redis(unix_socket_path=str(store.socket)) as redis:
        record = redis.hget(keys.participants("e"), "ana")
        assert isinstance(record, bytes)
        redis.hset(keys.participants("e"), "ana", b"9" + record)
        redis.hdel(keys.participants("e"), "bia", "caio")
        redis.set(keys.stock("e"), 4)
    assert main(["coupons", "reconcile", "e", "--apply"]) == 1
    *_, summary, left = capsys.readouterr().out.splitlines()
    assert summary == "e  3 findings, 3 actions, 1 left"
    assert left.startswith("e  left  differs: e 91 ")


def test_one_coupon_is_shown_with_its_history_and_an_event_is_recovered(capsys: Capture) -> None:
    told(capsys, "create", "e", "5", "--open", "--discount-cents", "300")
    _, _, code, id_, *_ = told(capsys, "issue", "e", "ana").split()
    told(capsys, "rebuild", "e")
    order = "6f1e2a44-0c9b-4f5e-9d55-0b0a5a3f9b11"
    assert "R$ 7,00 of R$ 10,00 to charge" in told(capsys, "spend", id_, "ana", order, "1000")
    assert "reserved" in told(capsys, "show", code)
    shown = json.loads(told(capsys, "show", id_, "--json"))
    assert (shown["coupon"]["order_ref"], shown["coupon"]["persistence"]) == (order, "stored")
    assert [line["act"] for line in shown["history"]] == ["reserved"]
    assert [event["stock"] for event in json.loads(told(capsys, "list", "--json"))] == [4]
    assert "issued" in told(capsys, "release", id_, order)
    assert "reserved" in told(capsys, "reserve", id_, "another", "--seconds", "60")
    assert told(capsys, "expire") == "0 expired\n"
    assert "4 of 5 left" in told(capsys, "recover", "e")
    assert json.loads(told(capsys, "reconcile", "--json"))["e"]["findings"] == []
    assert json.loads(told(capsys, "stats", "e", "--json"))["by_status"] == {"reserved": 1}
