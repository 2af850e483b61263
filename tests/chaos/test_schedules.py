"""Schedules that once failed, played again; and a new one."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from lastro.core.cli.chaos.moving import idle
from lastro.core.cli.chaos.play import play
from lastro.core.cli.chaos.schedule import Schedule, drawn
from lastro.core.settings import Settings
from lastro.core.testing import start_server

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(900)]

KEPT = sorted((Path(__file__).parent / "schedules").glob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
async def test_what_once_failed_adds_up(path: Path, tmp_path: Path) -> None:
    verdict = await play(Schedule.read(path), quiet=True, keep=tmp_path / "kept")
    assert not any(verdict.findings.values()), verdict.findings


@pytest.mark.parametrize("seed", [pytest.param(1, id="alone"), pytest.param(6, id="with failovers")])
async def test_half_a_minute_of_faults_adds_up(seed: int, tmp_path: Path) -> None:
    verdict = await play(drawn(seed, 0.5), quiet=True, keep=tmp_path / "kept")
    assert not any(verdict.findings.values()), verdict.findings
    assert len(verdict.done) == len(verdict.schedule.steps)


async def test_an_engine_that_does_nothing_is_a_finding(tmp_path: Path) -> None:
    running = start_server(tmp_path)
    try:
        still = await idle(Settings(redis_url=SecretStr(running.url), data_dir=tmp_path), within_seconds=1)
    finally:
        running.stop()
    assert still == [f"{name}: nothing was finished in 1 s" for name in ("coupons", "ledger", "payments", "pix")]
