"""Schedules of faults: drawn from a seed, written, read, and shrunk."""

from pathlib import Path

import pytest

from lastro.core.cli import main
from lastro.core.cli.chaos import faults
from lastro.core.cli.chaos.play import Verdict
from lastro.core.cli.chaos.schedule import GAP_SECONDS, KINDS, LAST_SECONDS, Schedule, drawn, shrunk
from lastro.core.errors import Invalid

pytestmark = pytest.mark.anyio


def test_a_seed_is_a_schedule_and_another_seed_is_another() -> None:
    assert drawn(7, 3) == drawn(7, 3) != drawn(8, 3)


def test_in_twenty_schedules_every_kind_of_fault_has_its_turn_and_all_end_in_time() -> None:
    steps = [step for seed in range(20) for step in drawn(seed, 3).steps]
    assert {step.kind for step in steps} == set(KINDS)
    assert max(step.at_seconds + step.seconds for step in steps) <= 180
    assert 20 * 180 / GAP_SECONDS[1] * 0.9 < len(steps) < 20 * 180 / GAP_SECONDS[0]
    assert all(step.seconds <= LAST_SECONDS[1] for step in steps)


def test_even_seeds_have_a_replica_and_failovers_and_odd_ones_a_server_alone() -> None:
    alone = [step for seed in range(1, 20, 2) for step in drawn(seed, 3).steps]
    assert not [step for step in alone if step.kind == "failover" or step.target == "replica"]
    assert [drawn(seed, 3).replicas for seed in (7, 8)] == [0, 1]
    assert {step.target for seed in range(0, 20, 2) for step in drawn(seed, 3).steps} >= {"replica", "killed", "frozen"}


def test_a_schedule_is_written_and_read_as_it_was(tmp_path: Path) -> None:
    schedule = drawn(3, 1)
    schedule.write(tmp_path / "kept" / "seed-3.json")
    assert Schedule.read(tmp_path / "kept" / "seed-3.json") == schedule


def test_a_file_that_is_no_schedule_is_told(tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_text('{"seed": 3')
    with pytest.raises(Invalid, match="schedule"):
        Schedule.read(tmp_path / "torn.json")


async def test_a_schedule_that_fails_is_shrunk_to_the_two_faults_that_do_it_together() -> None:
    schedule = drawn(11, 3)
    guilty = {schedule.steps[4], schedule.steps[20]}

    async def fails(fewer: Schedule) -> bool:
        return guilty <= set(fewer.steps)

    smallest, tries = await shrunk(schedule, fails, 1_000)
    assert set(smallest.steps) == guilty
    assert tries < 100


async def test_shrinking_ends_after_so_many_tries_with_a_schedule_that_fails() -> None:
    schedule = drawn(11, 3)

    async def fails(fewer: Schedule) -> bool:
        return schedule.steps[4] in fewer.steps

    smallest, tries = await shrunk(schedule, fails, 3)
    assert tries == 3
    assert schedule.steps[4] in smallest.steps


def test_the_command_shows_a_schedule_without_playing_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["chaos", "--seed", "7", "--minutes", "0.5", "--dry"])
    said = capsys.readouterr().out
    assert said.startswith("lastro chaos --seed 7 --minutes 0.5: ")
    assert len(said.splitlines()) == 1 + len(drawn(7, 0.5).steps)


def test_what_cannot_be_done_here_is_said_before_and_counted_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "FAKETIME", ())
    clock, variables = faults.false_clock(tmp_path)
    assert (clock, variables) == (None, {})
    disk, library = faults.lacking(disk=False, clock=clock)
    assert "root" in disk
    assert "apt install faketime" in library
    done = ["1.0 s: kill server (pid 7)", "2.0 s: clock +5.00 for 1.0 s: left out, libfaketime is not installed here"]
    assert Verdict(drawn(7, 1), done).left_out == 1
