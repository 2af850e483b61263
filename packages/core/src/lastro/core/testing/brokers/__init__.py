"""Real brokers for tests, as processes of their own that can go away: fixtures ``kafka`` and ``sqs``.

Kafka is the mock cluster of librdkafka, three brokers that speak the protocol on real sockets and keep everything in
memory; SQS is moto's server.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from lastro.core import local
from lastro.core.testing import free_port

FOLLOWERS_SECONDS = 0.05
READY_SECONDS = 30.0

_names = count(1)


@dataclass(eq=False)
class Kafka:
    """A cluster; ``away`` and ``back`` take its brokers off the network, with what they hold."""

    process: "subprocess.Popen[str]"
    servers: str

    def url(self, **options: str) -> str:
        """A topic of its own."""
        given = "&".join(f"{name}={value}" for name, value in options.items())
        return f"kafka://{self.servers}/topic{next(_names)}?{given}"

    def away(self) -> None:
        """Nobody listens there any more."""
        self._say("down")

    def back(self) -> None:
        """They listen again."""
        self._say("up")

    def _say(self, word: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[Kafka]:
    """One cluster for the whole run."""
    process = subprocess.Popen(  # noqa: S603  # our own
        [sys.executable, "-m", f"{__name__}.kafka"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=local.die_with_parent,  # noqa: PLW1509  # one prctl(), no lock: fork-safe
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    yield Kafka(process, process.stdout.readline().strip())
    process.stdin.close()
    process.wait(READY_SECONDS)
    process.stdout.close()


@pytest.fixture
def kafka(kafka_server: Kafka, monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """The cluster. It takes a follower's SyncGroup only before the leader's (Kafka takes both), so leaders wait."""
    from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance

    lead = CoordinatorGroupRebalance._on_join_leader  # noqa: SLF001  # there is no other place

    async def later(self: Any, response: Any) -> Any:
        await asyncio.sleep(FOLLOWERS_SECONDS)
        return await lead(self, response)

    monkeypatch.setattr(CoordinatorGroupRebalance, "_on_join_leader", later)
    return kafka_server


@dataclass(eq=False)
class Sqs:
    """A server; ``kill`` it and ``start`` it as a test needs: it keeps nothing."""

    port: int
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, suffix: str = "", **options: str) -> str:
        """A queue of its own."""
        given = "".join(f"&{name}={value}" for name, value in options.items())
        return f"sqs://us-east-1/queue{next(_names)}{suffix}?endpoint={self.endpoint}{given}"

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; returns when it answers."""
        program = Path(sys.executable).parent / "moto_server"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  # our own
                [str(program), "-p", str(self.port)],
                stdout=log,
                stderr=log,
                preexec_fn=local.die_with_parent,  # noqa: PLW1509  # likewise
            )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with urlopen(f"{self.endpoint}/moto-api/"):  # noqa: S310  # our own server
                    return
            except (URLError, ConnectionError):
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """With all it has."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def sqs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqs]:
    """One server for the whole run."""
    server = Sqs(free_port(), tmp_path_factory.mktemp("sqs") / "log")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def sqs(sqs_server: Sqs, monkeypatch: pytest.MonkeyPatch) -> Sqs:
    """The server, and credentials for it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if sqs_server.process is None or sqs_server.process.poll() is not None:
        sqs_server.start()
    return sqs_server
