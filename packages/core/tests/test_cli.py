"""The command line: lazy, with exit codes, and errors as sentences."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest

from lastro.core.cli import main
from lastro.core.cli.up.parts import listen
from lastro.core.settings import Settings


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A data folder of its own, and no variable of ours."""
    with TemporaryDirectory(prefix="lastro-") as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LASTRO_", "REDIS_"))}
        yield {**kept, "LASTRO_DATA_DIR": folder}


def process(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a person would."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "lastro"), *words],
        env=environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


def lastro(environment: dict[str, str], *words: str) -> tuple[Any, str, str]:
    """The same in this process, which has imported everything: exit code, output, errors."""
    out, err = StringIO(), StringIO()
    with patch.dict(os.environ, environment, clear=True), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(list(words)) or 0
        except SystemExit as ended:
            code = ended.code
    return code, out.getvalue(), err.getvalue()


def test_an_argument_that_is_no_text_is_told_in_a_sentence(environment: dict[str, str]) -> None:
    told = process(environment, "queue", "dead", "list", "\udcff")
    assert (told.returncode, "not UTF-8" in told.stderr, "Traceback" in told.stderr) == (2, True, False), told.stderr


def test_its_version_is_told(environment: dict[str, str]) -> None:
    code, told, _ = lastro(environment, "--version")
    assert (code, told) == (0, f"lastro {version('lastro-core')}\n")


def test_the_server_goes_up_is_seen_and_goes_down(environment: dict[str, str]) -> None:
    assert process(environment, "server", "status").returncode == 1
    assert "started" in process(environment, "server", "up").stdout
    assert "was running" in process(environment, "server", "up").stdout
    assert json.loads(process(environment, "server", "status", "--json").stdout)["running"] is True
    checked = process(environment, "scripts", "check")
    assert (checked.returncode, "compile" in checked.stdout) == (0, True)
    assert process(environment, "server", "down").stdout == "stopped\n"
    assert process(environment, "server", "down").stdout == "was not running\n"


def test_a_script_is_shown_as_the_server_gets_it(environment: dict[str, str]) -> None:
    listed = json.loads(lastro(environment, "scripts", "list", "--json")[1])
    assert listed["core.limits.take"].keys() == {"sha", "keys", "args"}
    _, shown, _ = lastro(environment, "scripts", "show", "core.limits.take")
    assert shown.startswith("#!lua flags=allow-oom\n-- ")
    code, _, told = lastro(environment, "scripts", "show", "nothing.here")
    assert (code, "nothing.here" in told) == (1, True)


def test_every_setting_is_listed_with_its_meaning(environment: dict[str, str]) -> None:
    rows = json.loads(lastro(environment, "settings", "--json")[1])
    assert all(row["meaning"] for row in rows)
    assert "core" in {row["owner"] for row in rows}


def test_the_metrics_are_listed_each_with_what_to_do(environment: dict[str, str]) -> None:
    rows = json.loads(lastro(environment, "metrics", "--json")[1])
    assert all(row["do"] and row["meaning"] for row in rows)
    assert {"lastro_http_requests_total", "lastro_stream_lag"} <= {row["name"] for row in rows}


@pytest.mark.parametrize("command", ["settings", "metrics"])
def test_in_a_pipe_a_list_has_a_line_each_with_the_name_whole(environment: dict[str, str], command: str) -> None:
    rows = json.loads(lastro(environment, command, "--json")[1])
    names = [" / ".join(row["variables"]) if command == "settings" else row["name"] for row in rows]
    lines = lastro({**environment, "COLUMNS": "40"}, command)[1].splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == names


def test_benchmarks_are_run_where_they_are(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, told = lastro(environment, "bench", "--quick")
    assert (code, "come with the checkout" in told) == (1, True)


def test_what_is_wrong_is_told_in_a_sentence(environment: dict[str, str]) -> None:
    code, _, told = lastro({**environment, "LASTRO_HTTP_PORT": "eighty"}, "up")
    assert (code, "LASTRO_HTTP_PORT" in told) == (os.EX_CONFIG, True), told


@pytest.mark.parametrize("words", [("up",), ("check",), ("settings",), ("server", "up"), ("queue", "list")])
def test_every_command_refuses_a_variable_that_nobody_knows_before_it_starts_anything(
    environment: dict[str, str], words: tuple[str, ...]
) -> None:
    """A misspelt address would be an empty embedded server, on which everything adds up."""
    code, _, told = lastro({**environment, "LASTRO_REDIS_ULR": "x"}, *words)
    assert (code, "LASTRO_REDIS_ULR: no such setting, did you mean LASTRO_REDIS_URL" in told) == (78, True), told
    assert not list(Path(environment["LASTRO_DATA_DIR"]).iterdir())


def test_a_check_again_and_again_ends_where_a_setting_is_wrong(environment: dict[str, str]) -> None:
    code, _, told = lastro({**environment, "LASTRO_HTTP_PORT": "eighty"}, "check", "--every", "1")
    assert (code, "LASTRO_HTTP_PORT" in told) == (os.EX_CONFIG, True), told


@pytest.mark.parametrize(
    ("url", "says", "code"),
    [
        ("localhost", "LASTRO_REDIS_URL", os.EX_CONFIG),
        ("redis://u:p@127.0.0.1:1", "redis://u:•••@127.0.0.1:1 does not answer", os.EX_TEMPFAIL),
    ],
)
def test_a_server_that_is_not_there_is_told_in_a_sentence(
    environment: dict[str, str], url: str, says: str, code: int
) -> None:
    told = process({**environment, "REDIS_URL": url}, "up")
    assert (told.returncode, says in told.stderr, "Traceback" in told.stderr) == (code, True, False), told.stderr


def test_a_socket_on_which_an_engine_serves_is_not_taken_from_it(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with listen(Settings(http_socket=path)):
        told = process({**environment, "LASTRO_HTTP_SOCKET": str(path)}, "up")
        assert (told.returncode, "another engine serves there" in told.stderr) == (1, True), told.stderr
        assert path.exists()
    with listen(Settings(http_socket=path)):  # of a killed one, nothing is in the way
        pass
