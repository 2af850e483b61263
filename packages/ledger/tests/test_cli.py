"""The ledger from a terminal."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis

from lastro.core.database import migrate
from lastro.core.local import Server
from lastro.core.redis import connect_url
from lastro.ledger import keys
from lastro.ledger.engine.shards import Shards
from lastro.ledger.model.crossing import shard_of
from lastro.ledger.model.ids import named_id
from lastro.ledger.model.records import Account, Transfer
from lastro.ledger.model.stored import LOG_SEGMENT
from lastro.ledger.settings import LedgerSettings

Lastro = Callable[..., list[str]]
FIRST, FIRST_TOO = [each for each in range(1, 99) if shard_of(each, 4) == 0][:2]
OTHER = next(each for each in range(1, 99) if shard_of(each, 4) == 1)


@pytest.fixture
def lastro(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Lastro]:
    """The command, on an empty server: what it prints, and its exit code first."""
    from lastro.core.cli import main

    monkeypatch.setenv("LASTRO_REDIS_URL", server.url)

    def run(*words: str) -> list[str]:
        monkeypatch.setattr("sys.argv", ["lastro", "ledger", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return [str(ended.value.code or 0), *told.out.splitlines(), *told.err.splitlines()]

    with Redis.from_url(server.url) as client:
        client.flushall()
        yield run
        client.flushall()


def test_a_story_at_the_terminal(lastro: Lastro) -> None:
    for number in "12":
        assert lastro("account", "create", number, "--ledger", "1", "--code", "1", "--flags", "8")[0] == "0"
    assert (
        lastro("transfer", "create", "1", "2", "30", "--ledger", "1", "--code", "1", "--pending", "--id", "7")[0] == "0"
    )
    assert lastro("transfer", "post", "7", "--amount", "20", "--id", "8")[0] == "0"
    refused = lastro("transfer", "void", "7")
    assert (refused[0], json.loads(refused[1])["status"]) == ("1", "pending_transfer_already_posted")
    account = json.loads(lastro("account", "show", "1")[1])
    assert (account["debits_pending"], account["debits_posted"]) == ("0", "20")
    assert len(lastro("account", "transfers", "1", "--newest-first")) == 3
    assert json.loads(lastro("account", "balances", "2")[-1])["credits_posted"] == "20"
    assert json.loads(lastro("transfer", "show", "8")[1])["pending_id"] == "7"
    assert [len(lastro("query", what)) for what in ("accounts", "transfers")] == [3, 3]
    assert lastro("check") == ["0", "every balance, index and history is what its transfers make"]
    assert lastro("check", "--json") == ["0", "[]"]


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("account", "create", "abc", "--ledger", "1", "--code", "1"), "account_id"),
        (("transfer", "create", "1", "2", "1.5", "--ledger", "1", "--code", "1"), "amount"),
        (("transfer", "post", "12", "--id", "zz"), "id"),
        (("account", "create", "1", "--ledger", "1", "--code", "70000"), "code"),
    ],
)
def test_a_number_that_is_none_is_told_by_its_field(lastro: Lastro, words: tuple[str, ...], field: str) -> None:
    told = lastro(*words)
    assert (told[0], told[1].startswith(f"{field}: must be")) == ("1", True), told


def test_a_posted_account_is_shown_by_its_name(lastro: Lastro) -> None:
    assert lastro("account", "create", "pix:99990001", "--ledger", "986", "--code", "101")[0] == "0"
    assert json.loads(lastro("account", "show", "pix:99990001")[1])["id"] == str(named_id("pix:99990001"))


@pytest.mark.parametrize(("workload", "batch"), [("mixed", "50"), ("transfer", "1")])
def test_stress_ends_with_a_check(lastro: Lastro, workload: str, batch: str) -> None:
    told = lastro(
        "stress", "--seconds", "0.4", "--workload", workload, "--batch", batch, "--accounts", "50", "--hot", "20"
    )
    assert told[0] == "0"
    assert told[-1] == "debits equal credits, and every balance is the sum of its transfers"


def test_stress_is_told_as_json(lastro: Lastro) -> None:
    code, text = lastro(*STRESS, "--json")
    report = json.loads(text)["lastro"]
    assert (code, report["findings"], report["refused"]) == ("0", [], 0)
    assert report["request_ms"]["p50"] > 0 < report["server_cpu_us"]


STRESS = ("stress", "--seconds", "0.2", "--batch", "10", "--accounts", "50", "--workload", "two-phase")


def test_a_password_on_the_command_line_is_refused_and_not_repeated(lastro: Lastro) -> None:
    """It would stand in the list of processes; the environment, or a file, takes it."""
    told = lastro(*STRESS, "--url", "redis://:hunter2@127.0.0.1:1")
    assert (told[0], "LASTRO_REDIS_URL_FILE" in told[-2]) == ("1", True), told
    assert not [line for line in told if "hunter2" in line]


def test_without_its_client_tigerbeetle_is_refused_in_a_sentence(
    lastro: Lastro, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tigerbeetle", None)
    told = lastro(*STRESS, "--tigerbeetle", "3000")
    assert (told[0], told[-2]) == (
        "78",
        "--tigerbeetle: its client is not installed: pip install 'lastro-ledger[tigerbeetle]'.",
    )


@dataclass
class Record:
    """As its client's dataclasses: any fields."""

    fields: dict[str, int]

    def __getattr__(self, name: str) -> int:
        return self.fields[name]


class Client:
    """Answers as its client does, from a table of balances."""

    def __init__(self, cluster_id: int, replica_addresses: str) -> None:
        self.address = (cluster_id, replica_addresses)
        self.accounts: dict[int, dict[str, int]] = {}

    async def create_accounts(self, accounts: list[Any]) -> list[Any]:
        self.accounts |= {each.id: each.fields for each in accounts}
        return [SimpleNamespace(status=4_294_967_295, timestamp=1) for _ in accounts]

    async def create_transfers(self, transfers: list[Any]) -> list[Any]:
        for each in transfers:
            assert each.flags & 2 or each.pending_id
        return [SimpleNamespace(status=4_294_967_295, timestamp=1) for _ in transfers]

    async def lookup_accounts(self, ids: list[int]) -> list[Any]:
        return [Record(self.accounts[number]) for number in ids]

    async def close(self) -> None:
        assert self.address == (0, "3000")


def test_tigerbeetle_gets_the_same_load_and_both_are_told(lastro: Lastro, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server is not to be had here: this is what its client is called with, and what is told of its answers."""
    package = SimpleNamespace(
        ClientAsync=Client, Account=lambda **fields: Record(fields), Transfer=lambda **fields: Record(fields)
    )
    monkeypatch.setitem(sys.modules, "tigerbeetle", package)
    told = lastro(*STRESS, "--tigerbeetle", "3000")
    assert told[0] == "0"
    assert [told.index(f"{name}:") for name in ("lastro", "tigerbeetle")] == [1, 7]
    assert told[-3] == "server CPU not told"
    assert told[-1] == "debits equal credits"


def test_a_shard_that_is_none_is_refused_in_a_sentence(lastro: Lastro) -> None:
    (shard,) = json.loads(lastro("shards", "list", "--json")[1])
    assert (shard["number"], shard.keys()) == (0, {"number", "slot", "server"})
    ended, said = lastro("shards", "move", "99", "x")[:2]
    assert (ended, "there are 1 shards" in said) == ("1", True)


@pytest.fixture
def in_shards(lastro: Lastro, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lastro:
    """A ledger in four shards, a segment of the first in the archive."""
    url = f"sqlite:///{tmp_path}/archive.sqlite"
    monkeypatch.setenv("LASTRO_LEDGER_SHARDS", "4")
    monkeypatch.setenv("LASTRO_LEDGER_ARCHIVE_URL", url)
    settings = LedgerSettings(archive_url=SecretStr(url), archive_after_seconds=0)
    one = partial(Transfer, debit_account_id=FIRST, credit_account_id=FIRST_TOO, amount=1, ledger=1, code=1)

    async def make() -> None:
        async with await connect_url(server.url) as hub:
            made = await Shards.open(hub, settings, 4)
            await made.create_accounts([Account(id=each, ledger=1, code=1) for each in (FIRST, FIRST_TOO)])
            await made.create_transfers([one(id=1000 + each) for each in range(LOG_SEGMENT + 1)])
            assert await made.ledgers[0].archive.archive() == 1
            await migrate.close_all()

    asyncio.run(make())
    return lastro


def test_the_terminal_reads_and_writes_all_shards(in_shards: Lastro) -> None:
    assert in_shards("account", "create", str(OTHER), "--ledger", "1", "--code", "1")[0] == "0"
    words = ("transfer", "create", str(FIRST), str(OTHER), "30", "--ledger", "1", "--code", "1", "--id", "7")
    assert in_shards(*words)[0] == "0"
    assert json.loads(in_shards("account", "show", str(OTHER))[1])["credits_posted"] == "30"
    assert json.loads(in_shards("transfer", "show", "7")[1])["credit_account_id"] == str(OTHER)
    assert len(in_shards("query", "accounts")) == 1 + 3 + 2, "and two transit accounts"
    for refused in (("tail",), STRESS, ("transfer", "void", "7"), ("account", "show", "pix:99990001")):
        ended, said = in_shards(*refused)[:2]
        assert (ended, "in 4 shards" in said) == ("1", True), refused


def test_a_check_at_the_terminal_looks_at_every_shard(in_shards: Lastro, server: Server) -> None:
    assert in_shards("check")[0] == "0"
    with Redis.from_url(server.url) as client:
        client.delete(keys.account(keys.shard("main", 0, 4), FIRST))
    assert in_shards("check")[0] == "1"


def test_what_the_archive_has_of_any_shard_comes_back(in_shards: Lastro) -> None:
    assert in_shards("unarchive") == ["0", "1 segments are back"]
    assert in_shards("unarchive") == ["0", "0 segments are back"]


@pytest.mark.parametrize("words", [("check",), ("unarchive",), ("query",), ("account", "transfers", "1")])
def test_who_only_looks_does_not_decide_the_number_of_shards(
    lastro: Lastro, server: Server, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("LASTRO_LEDGER_SHARDS", "8")
    assert lastro(*words)[0] == "0"
    with Redis.from_url(server.url) as client:
        assert client.keys() == []
    assert lastro("account", "create", "1", "--ledger", "1", "--code", "1")[0] == "0"
    monkeypatch.setenv("LASTRO_LEDGER_SHARDS", "16")
    ended, said = lastro(*words)[:2]
    assert (ended, "it has 8 for good" in said) == ("78", True)
