"""A whole deployment on this machine: store, two processes, both processors and, where it is installed, HAProxy.

For load tests, kill tests and benchmarks; every part is a real process with a pid that may be killed.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from lastro.core import local

READY_SECONDS = 60.0
PROCESSES = ("api1", "api2")


@dataclass(eq=False)
class Stack:
    """The parts, by name; ``url`` is the edge, ``processors`` the two stand-ins."""

    folder: Path
    config: Path
    ports: tuple[int, int, int]
    """Of the edge, the default and the fallback."""
    durability: local.Durability = "always"
    room: int = 350
    parts: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The edge."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def processors(self) -> tuple[str, str]:
        """Default and fallback."""
        return f"http://127.0.0.1:{self.ports[1]}", f"http://127.0.0.1:{self.ports[2]}"

    def start_store(self) -> None:
        """Start, or restart, the store; it loads what was acknowledged."""
        self.store = local.start(self.folder, durability=self.durability)

    def start(self, name: str) -> None:
        """Start one process of ours, or start it again."""
        default, fallback = self.processors
        environment = {
            **os.environ,
            "LASTRO_REDIS_URL": self.store.url,
            "LASTRO_HTTP_SOCKET": str(self.folder / f"{name}.sock"),
            "LASTRO_PAYMENTS_NUM_WORKERS": "1",
            "LASTRO_PAYMENTS_MAX_CONCURRENT_REQUESTS": str(self.room),
            "LASTRO_PAYMENTS_PROCESSOR_DEFAULT_URL": default,
            "LASTRO_PAYMENTS_PROCESSOR_FALLBACK_URL": fallback,
        }
        self.spawn(name, [_lastro(), "up", "payments", "--single"], environment)

    def start_processor(self, name: str, port: int) -> None:
        """Start one of the two stand-ins."""
        self.spawn(name, [_lastro(), "payments", "processor", "--port", str(port)], dict(os.environ))

    def start_edge(self) -> None:
        """Start HAProxy with the configuration that is shipped; its pid is the one that works: no master (-W)."""
        binary = haproxy()
        assert binary is not None, "haproxy is not installed"
        environment = {
            **os.environ,
            "PAYMENTS_BIND": f"127.0.0.1:{self.ports[0]}",
            "PAYMENTS_SOCKETS": str(self.folder),
            "PAYMENTS_RUN": str(self.folder),
        }
        self.spawn("haproxy", [binary, "-f", str(self.config), "-db"], environment)

    def kill(self, name: str) -> None:
        """``kill -9``."""
        self.parts[name].kill()
        self.parts[name].wait()

    def wait_ready(self) -> None:
        """Until the edge and both processors answer."""
        for url in (f"{self.url}/readyz", *(f"{processor}/payments/none" for processor in self.processors)):
            deadline = time.monotonic() + READY_SECONDS
            while not _answers(url):
                assert time.monotonic() < deadline, f"{url} did not come up; see {self.folder}"
                time.sleep(0.05)

    def stop(self) -> None:
        """Ask all to stop, in the order that loses nothing."""
        for part in reversed(self.parts.values()):
            if part.poll() is None:
                part.send_signal(signal.SIGTERM)
        for part in self.parts.values():
            part.wait()
        self.store.stop()

    def spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Start a part; what it prints goes to ``<name>.log`` in the folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.parts[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603  # our own


def haproxy() -> str | None:
    """Where it is installed; for who is not root it may be beside the PATH."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def deployed(stack: Stack) -> Iterator[Stack]:
    """All parts up; stopped at the end."""
    with ExitStack() as last:
        stack.start_store()
        last.callback(stack.stop)
        stack.start_processor("default", stack.ports[1])
        stack.start_processor("fallback", stack.ports[2])
        for name in PROCESSES:
            stack.start(name)
        stack.start_edge()
        stack.wait_ready()
        yield stack


def _lastro() -> str:
    return str(Path(sys.executable).parent / "lastro")


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    asked = HTTPConnection(parts.hostname or "", parts.port, timeout=1)
    try:
        asked.request("GET", parts.path)
        return asked.getresponse().status < 500  # noqa: PLR2004  # any answer of its own
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()
