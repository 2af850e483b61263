"""What an operator does at a terminal."""

import json
import socket
from uuid import uuid4

import pytest
from redis import Redis

from lastro.core import local
from lastro.core.cli import main


@pytest.fixture
def lastro(server: local.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Lastro":
    """The command on an empty server."""
    monkeypatch.setenv("LASTRO_REDIS_URL", server.url)
    for name in ("DEFAULT", "FALLBACK"):  # not somebody else's: the official load would purge it
        monkeypatch.setenv(f"LASTRO_PAYMENTS_PROCESSOR_{name}_URL", "http://127.0.0.1:1")
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.flushall()
    return Lastro(capsys)


class Lastro:
    """Runs ``lastro payments …`` and returns what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> str:
        main(["payments", *words])
        return self.capsys.readouterr().out.strip()


def test_a_processor_on_a_port_that_is_taken_is_refused_in_a_sentence(
    lastro: Lastro, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit):
            lastro("processor", "--port", str(port))
    assert f"nothing can listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_a_payment_is_accepted_shown_listed_and_purged(lastro: Lastro) -> None:
    id_ = str(uuid4())
    assert [lastro("accept", id_, "19.90") for _ in range(2)] == ["accepted", "accepted before"]
    assert json.loads(lastro("show", id_, "--json"))["amount_cents"] == 1990
    assert json.loads(lastro("accept", id_, "19.90", "--json")) == {"new": False}
    assert id_ in lastro("pending")
    assert [each["correlation_id"] for each in json.loads(lastro("pending", "--json"))] == [id_]
    assert lastro("health").endswith("1 waiting, 0 in flight")
    told = json.loads(lastro("health", "--json"))
    assert (told["waiting"], told["processors"]["default"]) == (1, {"failing": False, "delay_ms": 0})
    assert (lastro("dead", "list"), lastro("dead", "list", "--json")) == ("", "[]")
    assert json.loads(lastro("summary", "--json"))["default"] == {"requests": 0, "amount_cents": 0}
    assert lastro("republish", "--from", "2025-01-01T00:00:00Z", "--to", "2030-01-01T00:00:00Z") == "0 appended"
    assert lastro("purge", "--yes") == "purged"
    assert lastro("pending") == ""


def test_what_is_refused_is_said_in_a_sentence_and_ends_with_1(lastro: Lastro) -> None:
    alive = str(uuid4())
    lastro("accept", alive, "1.00")
    for words, says in (
        (("show", str(uuid4())), "There is no payment"),
        *((("dead", act, str(uuid4())), "There is no payment") for act in ("show", "replay", "discard")),
        (("dead", "discard", alive), "only a dead one is replayed or discarded"),
        (("dead", "list", "--after", alive), "after"),
        (("accept", str(uuid4()), "0.001"), "amount"),
        (("summary", "--from", "yesterday"), "--from"),
        (("rinha", "--profile", "other"), "preview or final"),
        (("rinha", "--with", "other"), "k6 or built-in"),
        (("rinha", "--url", "http://127.0.0.1:1"), "Nothing answers at"),
    ):
        with pytest.raises(SystemExit) as ended:
            lastro(*words)
        assert ended.value.code == 1
        assert says in lastro.capsys.readouterr().err
