"""A whole engine as a process of its own, for tests that see it from outside."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import httpx

from lastro.core.access.client import trusting
from lastro.core.testing import LOOK_SECONDS_MAX, free_port

READY_SECONDS = 60.0
STOP_SECONDS = 60.0
LOOK_SECONDS = 0.01


def until(what: Callable[[], object], seconds: float, said: str) -> None:
    """As `wait_for`; a plain loop, for tests that watch processes and have no event loop."""
    left, looked = seconds, time.monotonic()
    while not what():
        before, looked = looked, time.monotonic()
        left -= min(LOOK_SECONDS_MAX, looked - before)
        assert left > 0, said
        time.sleep(LOOK_SECONDS)


def listens(port: int) -> bool:
    """Somebody answers there."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def parts_of(pid: int) -> dict[str, int]:
    """Name → pid of the processes that the engine runs; not of one that still has its parent's name."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own, found = Path(f"/proc/{pid}/comm").read_text(), {}
    for child in children:
        with suppress(FileNotFoundError, ProcessLookupError):
            if (name := Path(f"/proc/{child}/comm").read_text()) != own:
                found[name.strip()] = int(child)
    return found


class Engine:
    """A running ``lastro up``."""

    def __init__(self, folder: Path, *words: str, **variables: str) -> None:
        self.folder = folder
        self.port = free_port()
        certificate = variables.get("LASTRO_TLS_CERTIFICATE")
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self.trusted = trusting(Path(certificate) if certificate else None)
        self.log = folder / "up.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LASTRO_", "REDIS_"))}
        environment = {**kept, "LASTRO_DATA_DIR": str(folder), "LASTRO_HTTP_PORT": str(self.port), **variables}
        with self.log.open("ab") as log:
            self.process = start("up", *words, environment=environment, log=log)

    def ready(self) -> bool:
        """It answers; fails with what the engine said when it ended."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", timeout=1, verify=self.trusted).is_success
        assert self.process.poll() is None, self.log.read_text()
        return False

    def parts(self) -> dict[str, int]:
        """Name → pid of its processes."""
        return parts_of(self.process.pid)


def start(*words: str, environment: dict[str, str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start a ``lastro`` command."""
    return subprocess.Popen(  # noqa: S603  # our own
        [str(Path(sys.executable).parent / "lastro"), *words],
        env=environment, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip


@contextmanager
def running(*words: str, **variables: str) -> Iterator[Engine]:
    """``lastro up`` with these words and variables, ready; stopped at the end."""
    with TemporaryDirectory(prefix="lastro-") as folder:
        engine = Engine(Path(folder), *words, **variables)
        try:
            until(engine.ready, READY_SECONDS, "the engine did not come up")
            yield engine
        finally:
            if engine.process.poll() is None:
                engine.process.terminate()
            engine.process.wait(STOP_SECONDS)
