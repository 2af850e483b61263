"""The command line: lazy, with exit codes, and errors as sentences."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A data folder of its own, and no variable of ours."""
    with TemporaryDirectory(prefix="lastro-") as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LASTRO_", "REDIS_"))}
        yield {**kept, "LASTRO_DATA_DIR": folder}


def lastro(environment: dict[str, str], *words: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command as a person would."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "lastro"), *words],
        env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


def test_the_server_goes_up_is_seen_and_goes_down(environment: dict[str, str]) -> None:
    assert lastro(environment, "server", "status").returncode == 1
    assert "started" in lastro(environment, "server", "up").stdout
    assert "was running" in lastro(environment, "server", "up").stdout
    assert json.loads(lastro(environment, "server", "status", "--json").stdout)["running"] is True
    checked = lastro(environment, "scripts", "check")
    assert (checked.returncode, "compile" in checked.stdout) == (0, True)
    assert lastro(environment, "server", "down").stdout == "stopped\n"
    assert lastro(environment, "server", "down").stdout == "was not running\n"


def test_a_script_is_shown_as_the_server_gets_it(environment: dict[str, str]) -> None:
    shown = lastro(environment, "scripts", "show", "core.limits.take").stdout
    assert shown.startswith("#!lua\n-- ")
    unknown = lastro(environment, "scripts", "show", "nothing.here")
    assert (unknown.returncode, "nothing.here" in unknown.stderr) == (1, True)


def test_every_setting_is_listed_with_its_meaning(environment: dict[str, str]) -> None:
    rows = json.loads(lastro(environment, "settings", "--json").stdout)
    assert all(row["meaning"] for row in rows)
    assert "core" in {row["owner"] for row in rows}


def test_the_metrics_are_listed_each_with_what_to_do(environment: dict[str, str]) -> None:
    rows = json.loads(lastro(environment, "metrics", "--json").stdout)
    assert all(row["do"] and row["meaning"] for row in rows)
    assert {"lastro_http_requests_total", "lastro_stream_lag"} <= {row["name"] for row in rows}


def test_benchmarks_are_run_where_they_are(environment: dict[str, str], tmp_path: Path) -> None:
    told = lastro(environment, "bench", "--quick", folder=tmp_path)
    assert (told.returncode, "come with the checkout" in told.stderr) == (1, True)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LASTRO_REDIS_ULR", "x", "LASTRO_REDIS_ULR: no such setting, did you mean LASTRO_REDIS_URL"),
        ("LASTRO_HTTP_PORT", "eighty", "LASTRO_HTTP_PORT"),
        ("REDIS_URL", "localhost", "LASTRO_REDIS_URL"),
        ("REDIS_URL", "redis://127.0.0.1:1", "cannot take this now"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(environment: dict[str, str], name: str, value: str, says: str) -> None:
    told = lastro({**environment, name: value}, "up")
    assert (told.returncode, says in told.stderr, "Traceback" in told.stderr) == (1, True, False), told.stderr
