"""What the supervisor does with parts that crash, hang, or end when told."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lastro.core.cli.up.parts import Embedded
from lastro.core.settings import Settings
from lastro.core.supervise import ONE_SIGNAL_SECONDS, RESTART_SECONDS

END_SECONDS = 30.0

PROGRAM = """
import os, signal, sys, time
from lastro.core import supervise
from lastro.core.supervise import Part, Supervisor

def say(*words):
    os.write(1, (" ".join(words) + chr(10)).encode())  # in one piece: two processes share the pipe

def crash():
    print("crash", time.monotonic(), flush=True)
    raise RuntimeError("planted")

def hang():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("hanging", os.getpid(), flush=True)
    time.sleep(60)

def polite(name):
    def work():
        signal.signal(signal.SIGTERM, lambda *_: (say("stopped", name), os._exit(0)))
        say("ready", name)
        time.sleep(60)
    return work

def weary():
    time.sleep(0.2)
    crash()

supervise.STEADY_SECONDS = supervise.ORPHAN_LOOK_SECONDS = 0.1
supervise.KILL_MARGIN_SECONDS = 0.3
PARTS = {
    "weary": [Part(name="weary", run=weary, stage=1)],
    "crash": [Part(name="crash", run=crash, stage=1)],
    "hang": [Part(name="hang", run=hang, stage=1)],
    "order": [Part(name="b", run=polite("b"), stage=2), Part(name="a", run=polite("a"), stage=1)],
}
Supervisor(PARTS[sys.argv[1]], grace_seconds=float(sys.argv[2]) if sys.argv[2:] else 0.2).run()
print("over", flush=True)
"""

FULL = """
import os
from lastro.core.logging import configure
from lastro.core.supervise import Part, Supervisor

def crash():
    os.write(1, b"crash" + bytes([10]))
    raise RuntimeError("planted")

configure("json", "info")
try:
    Supervisor([Part(name="full", run=crash, stage=1)], grace_seconds=0.2).run()
finally:
    os.write(1, b"cleaned up by %d" % os.getpid() + bytes([10]))
"""


def supervised(which: str, until: str, times: int = 1) -> tuple[list[str], float]:
    """Run it until a line came so often, ask it to stop; all its lines, and how long the stop took."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, which], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while sum(until in line for line in lines) < times:
            lines.append(process.stdout.readline())
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        lines += process.stdout.readlines()
        assert process.wait(END_SECONDS) == 0
        return lines, time.monotonic() - started


def test_a_part_that_crashes_at_its_start_is_tried_less_and_less_often() -> None:
    lines, _ = supervised("crash", "crash", times=5)
    moments = [float(line.split()[1]) for line in lines if line.startswith("crash")]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert all(gap >= RESTART_SECONDS * 2**crashes for crashes, gap in enumerate(gaps)), gaps


def test_a_part_that_lives_a_while_and_crashes_by_itself_again_and_again_is_slowed_down_too() -> None:
    lines, _ = supervised("weary", "crash", times=8)
    moments = [float(line.split()[1]) for line in lines if line.startswith("crash")]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert gaps[-1] >= RESTART_SECONDS * 4 + 0.2, gaps


def test_parts_stop_stage_by_stage() -> None:
    lines, _ = supervised("order", "ready", times=2)
    assert [line.strip() for line in lines if "stopped" in line or "over" in line] == ["stopped a", "stopped b", "over"]


def test_a_part_that_does_not_end_within_its_grace_is_killed() -> None:
    lines, seconds = supervised("hang", "hanging")
    pid = next(line.split()[1] for line in lines if line.startswith("hanging"))
    assert not Path(f"/proc/{pid}").exists()
    assert lines[-1] == "over\n"
    assert 0.2 <= seconds < 8


def test_a_second_signal_ends_everything_at_once_and_an_echo_of_the_first_does_not() -> None:
    command = [sys.executable, "-c", PROGRAM, "hang", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("hanging")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)  # as when `timeout` signals its child, and then the child's group
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(ONE_SIGNAL_SECONDS + 0.1)
        deadline = time.monotonic() + END_SECONDS
        while process.poll() is None:  # on a slow machine it heard the first late, and so this is an echo still
            process.send_signal(signal.SIGTERM)
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert process.returncode == -signal.SIGTERM
        assert process.stdout.read() == ""  # nobody holds the pipe any more: the part is gone, too


def test_parts_do_not_outlive_a_supervisor_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM, "order"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert {process.stdout.readline() for _ in range(2)} == {"ready a\n", "ready b\n"}
        os.kill(process.pid, signal.SIGKILL)
        assert sorted(process.stdout.readlines()) == ["stopped a\n", "stopped b\n"]


def test_a_part_that_does_not_end_by_itself_ends_after_its_killed_supervisor() -> None:
    """Else it would keep its port, and no engine could start there again."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "hang"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline().split()[1])
        process.kill()
        deadline = time.monotonic() + END_SECONDS
        with suppress(FileNotFoundError, ProcessLookupError):
            while "Z" not in Path(f"/proc/{pid}/stat").read_text():
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_a_part_that_crashes_where_its_output_finds_no_room_cleans_up_nothing_of_the_supervisors() -> None:
    """Not even its traceback can be told; the folders and the server stay the supervisor's own to remove."""
    with (
        Path("/dev/full").open("w") as full,
        subprocess.Popen([sys.executable, "-c", FULL], stdout=subprocess.PIPE, stderr=full, text=True) as process,
    ):
        assert process.stdout is not None
        lines: list[str] = []
        while lines.count("crash\n") < 2:
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        lines += process.stdout.readlines()
    assert [line for line in lines if line != "crash\n"] == [f"cleaned up by {process.pid}\n"]


def test_a_store_that_does_not_start_again_is_tried_again_and_ends_nothing() -> None:
    with TemporaryDirectory(prefix="lastro-") as folder:
        given = Settings(data_dir=Path(folder))
        embedded = Embedded(given)
        embedded.server.kill()
        embedded.given = given.model_copy(update={"server": Path(folder) / "nothing"})
        embedded.guard()
        assert not embedded.server.alive()
        embedded.given = given
        embedded.guard()  # too soon
        assert not embedded.server.alive()
        embedded.due = 0
        embedded.guard()
        assert embedded.server.alive()
        embedded.server.stop()
