"""Every scenario of ops/loadtest runs for a few seconds against an engine, and finds it as it must be."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastro.core.testing.engine import Engine, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FOLDER = Path(__file__).parent.parent / "ops" / "loadtest"
PROGRAMS = Path(sys.executable).parent
SERVICES = ("coupons", "ledger", "payments", "pix")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running("--simulate") as engine:
        yield engine


def test_there_is_a_scenario_for_every_service() -> None:
    assert tuple(sorted(path.stem for path in (FOLDER / "k6").glob("*.js") if path.stem != "lastro")) == SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_k6(engine: Engine, service: str) -> None:
    given = {"LASTRO_URL": engine.url, "USERS": "4", "DURATION": "3s", "P99_MS": "10000"}
    words = [part for name, value in given.items() for part in ("-e", f"{name}={value}")]
    path = FOLDER / "k6" / f"{service}.js"
    _runs([str(PROGRAMS / "k6"), "run", "--quiet", "--no-usage-report", *words, str(path)])


@pytest.mark.parametrize("service", SERVICES)
def test_locust(engine: Engine, service: str) -> None:
    # its time begins before its imports
    words = ["--host", engine.url, "--tags", service, "--headless", "-u", "4", "-r", "4", "-t", "8s", "--only-summary"]
    users = {"coupons": "Fan", "ledger": "Bookkeeper", "payments": "Payer", "pix": "Bank"}
    _runs([str(PROGRAMS / "locust"), "-f", str(FOLDER / "locust" / "locustfile.py"), *words, users[service]])


def _runs(command: list[str]) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LASTRO_", "REDIS_"))}
    told = subprocess.run(command, env=kept, capture_output=True, text=True, check=False, timeout=90)
    assert told.returncode == 0, (told.stdout + told.stderr)[-3000:]
