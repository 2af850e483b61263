"""A whole deployment on this machine: store, API processes, a worker. Every part has a pid that may be killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from lastro.core import local
from lastro.coupons.engine.spending import FOLLOWERS
from lastro.coupons.settings import CouponsSettings

READY_SECONDS = 60.0
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(eq=False)
class Stack:
    """The parts, by name: ``api0`` …, ``worker``, and the ``store``."""

    folder: Path
    database_url: str
    apis: int = 1
    durability: local.Durability = "always"
    parts: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    store: local.Server = field(init=False)
    listening: dict[str, Path] = field(default_factory=dict)

    @property
    def targets(self) -> list[str]:
        """Unix sockets of the API processes."""
        return [str(path) for path in self.listening.values()]

    @property
    def environment(self) -> dict[str, str]:
        """What every part is told."""
        return {
            **os.environ,
            "LASTRO_REDIS_URL": self.store.url,
            "LASTRO_COUPONS_DATABASE_URL": self.database_url,
            "LASTRO_COUPONS_USER_PER_SECOND": "0",
            "LASTRO_REQUESTS_MAX": "20000",
            "LASTRO_LOG_LEVEL": "warning",
        }

    def start_store(self) -> None:
        """Start, or restart, the store; it loads what was acknowledged."""
        self.store = local.start(self.folder / "store", durability=self.durability)

    def start_api(self, name: str) -> None:
        """Start one API process, or start it again."""
        path = self.listening[name] = self.folder / f"{name}.sock"
        path.unlink(missing_ok=True)
        options = [
            "--loop",
            "uvloop",
            "--http",
            "httptools",
            "--no-access-log",
            "--no-proxy-headers",
            "--no-server-header",
            "--log-level",
            "warning",
        ]
        app = ["--factory", "lastro.coupons.simulator.service:app", "--backlog", "4096"]
        self._spawn(name, [sys.executable, "-m", "uvicorn", *app, "--uds", str(path), *options])

    def start_worker(self, name: str = "worker") -> None:
        """Start the worker, or start it again."""
        self._spawn(name, [str(Path(sys.executable).parent / "lastro"), "coupons", "work"])

    def wait_ready(self, name: str) -> None:
        """Until an API process answers."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(self.listening[name]))
                    probe.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    if probe.recv(64).startswith(b"HTTP/1.1 200"):
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline, f"{name} did not come up; see {self.folder}/{name}.log"
            time.sleep(0.05)

    def wait_worker(self, name: str = "worker") -> None:
        """Until a worker has its tables and reads: from then on no store or database that goes away ends it."""
        deadline, reader = time.monotonic() + READY_SECONDS, f"-{self.parts[name].pid}-".encode()
        with Redis(unix_socket_path=str(self.store.socket)) as client:
            while not any(reader in told["name"] for told in _followers(client)):
                assert time.monotonic() < deadline, f"{name} does not read; see {self.folder}/{name}.log"
                time.sleep(0.05)

    def kill(self, name: str) -> None:
        """``kill -9``."""
        self.parts[name].kill()
        self.parts[name].wait()

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time of every part so far; the API processes as one."""
        spent = {"api": 0.0, "worker": 0.0, "store": cpu_seconds(self.store.pid)}
        for name, part in self.parts.items():
            spent[name.rstrip("0123456789")] += cpu_seconds(part.pid)
        return spent

    def stop(self) -> None:
        """Ask all to stop."""
        for part in self.parts.values():
            if part.poll() is None:
                part.send_signal(signal.SIGTERM)
        for part in self.parts.values():
            try:
                part.wait(15)
            except subprocess.TimeoutExpired:
                part.kill()
                part.wait()
        self.store.stop()

    def _spawn(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.parts[name] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)  # noqa: S603  # our own


@contextmanager
def deployed(stack: Stack) -> Iterator[Stack]:
    """All parts up; stopped at the end."""
    stack.start_store()
    try:
        stack.start_worker()
        for n in range(stack.apis):
            stack.start_api(f"api{n}")
        for n in range(stack.apis):
            stack.wait_ready(f"api{n}")
        stack.wait_worker()
        yield stack
    finally:
        stack.stop()


def _followers(client: Redis) -> list[dict[str, Any]]:
    """Those who follow what became of charges; each worker does."""
    try:
        return client.xinfo_consumers(CouponsSettings.read().finals_stream, FOLLOWERS)
    except ResponseError:  # no stream yet, or no group
        return []


def cpu_seconds(pid: int) -> float:
    """Of a process; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mb(pid: int) -> float:
    """Memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
