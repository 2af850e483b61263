"""The PostgreSQL of the tests."""

import subprocess

import pytest

from lastro.core.testing.postgres import OWNER, Database


def ask(database: Database, sql: str) -> str:
    name = database.url.rpartition("/test_")[2].partition("?")[0]
    command = [str(database.server.binaries / "psql"), "-h", str(database.server.folder), "-U", OWNER, "-tA"]
    told = subprocess.run([*command, f"test_{name}", "-c", sql], check=True, capture_output=True, text=True)
    return told.stdout.strip()


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_gets_an_empty_database(postgres: Database, turn: int) -> None:
    assert ask(postgres, "select count(*) from pg_tables where schemaname = 'public'") == "0"
    ask(postgres, "create table left_behind (n int)")


def test_a_killed_server_comes_back_with_what_was_committed(postgres: Database) -> None:
    ask(postgres, "create table kept as select 42 as n")
    postgres.server.kill()
    postgres.server.start()
    assert ask(postgres, "select n from kept") == "42"
