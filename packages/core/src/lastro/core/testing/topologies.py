"""Real topologies for tests: a primary with replicas and sentinels, a cluster with replicas, each on loopback."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from lastro.core import local
from lastro.core.testing import free_port

HOST = "127.0.0.1"
UP_SECONDS = 30.0
WAIT_MS = 100
"""A replica counts once its primary has heard from it, up to a second after it has everything."""
CALM_MS = 60_000
"""Nobody is given up: machines that run tests stand still for seconds, and what took over then was no test's doing."""
DOWN_AFTER_MS = 1_000
"""Silent for so long, a server is taken for dead inside `impatient`."""
HASTY = ("info-period", 1_000, "publish-period", 500)
"""Sentinels look at each server every second instead of every ten, and make a former primary that comes back a replica
after 2 s instead of 8 (four publish periods). From Redis 7.0 and Valkey on; it lasts until the sentinel ends."""


@dataclass(slots=True, eq=False)
class Node:
    """One server of a topology."""

    folder: Path
    port: int
    options: Sequence[str]
    binary: Path | None = None
    tls: Sequence[str] = ()
    """Options that make it listen with TLS alone."""
    server: local.Server = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        port = ("--tls-port", str(self.port), *self.tls) if self.tls else ("--port", str(self.port))
        given = (*port, "--bind", HOST, "--repl-diskless-sync-delay", "0", *self.options)
        self.server = local.start(self.folder, binary=self.binary, durability="no", options=given)

    @property
    def name(self) -> str:
        """As redis-py names it."""
        return f"{HOST}:{self.port}"

    def ask(self, *command: Any) -> Any:
        """One command over its socket."""
        with Redis(unix_socket_path=str(self.server.socket), socket_timeout=2) as client:
            return client.execute_command(*command)

    def kill(self) -> None:
        """``kill -9``."""
        self.server.kill()

    def stop(self) -> None:
        """SIGSTOP: it neither answers nor closes."""
        os.kill(self.server.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.server.pid, signal.SIGCONT)

    def end(self) -> None:
        """Stop it for good, whatever was done to it; asked to end, a primary would wait for its replicas."""
        if self.server.process is not None:
            self.server.process.kill()
            self.server.process.wait()


@dataclass(frozen=True, slots=True)
class Sentinels:
    """A primary, its replicas, and the sentinels that watch them."""

    nodes: Sequence[Node]
    ports: Sequence[int]
    tls: Sequence[str] = ()

    @property
    def url(self) -> str:
        """For `connect_url`."""
        hosts = ",".join(f"{HOST}:{port}" for port in self.ports)
        return f"redis+sentinel://{hosts}/lastro"

    @property
    def primary(self) -> Node:
        """Whom the sentinels name."""
        with _open(self.ports[0], self.tls) as sentinel:
            address = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "lastro")
        return next(node for node in self.nodes if node.port == int(address[1]))

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Inside, a primary that is silent for DOWN_AFTER_MS is given up, and a replica takes over."""
        self._give_up_after(DOWN_AFTER_MS)
        yield
        self._give_up_after(CALM_MS)

    def _give_up_after(self, ms: int) -> None:
        for port in self.ports:
            with _open(port, self.tls) as sentinel:
                sentinel.execute_command("SENTINEL", "SET", "lastro", "down-after-milliseconds", ms)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Primaries first, then as many replicas, the first of the first."""

    nodes: Sequence[Node]

    @property
    def url(self) -> str:
        """For `connect_url`."""
        return "redis+cluster://" + ",".join(node.name for node in self.nodes)

    def owner(self, slot: int) -> Node:
        """The primary of a slot, as a living server sees it."""
        for node in self.nodes:
            with suppress(RedisError):
                for first, last, primary, *_ in node.ask("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return next(each for each in self.nodes if each.port == int(primary[1]))
        raise AssertionError(f"nobody has slot {slot}")

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Inside, a server that is silent for DOWN_AFTER_MS is given up, and its replica takes over."""
        self._give_up_after(DOWN_AFTER_MS)
        yield
        self._give_up_after(CALM_MS)

    def _give_up_after(self, ms: int) -> None:
        for node in self.nodes:
            with suppress(RedisConnectionError):  # of one that was killed
                node.ask("CONFIG", "SET", "cluster-node-timeout", ms)


def until(holds: Callable[[], object], what: str) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + UP_SECONDS
    while True:
        with suppress(RedisError):
            if holds():
                return
        assert time.monotonic() < deadline, f"{what} did not come in {UP_SECONDS} s"
        time.sleep(0.02)


@contextmanager
def sentinels(
    *, replicas: int = 2, watching: int = 3, binary: Path | None = None, tls: Sequence[str] = (), hasty: bool = False
) -> Iterator[Sentinels]:
    """A primary with replicas, and sentinels of which the greater half must agree; with ``hasty`` see HASTY."""
    with TemporaryDirectory(prefix="lastro-") as name:
        folder = Path(name)
        nodes = [Node(folder / "0", free_port(), (), binary, tls)]
        watchers: list[subprocess.Popen[bytes]] = []
        try:
            primary = nodes[0]
            follow = ("--replicaof", f"{HOST} {primary.port}")
            nodes += [Node(folder / str(number + 1), free_port(), follow, binary, tls) for number in range(replicas)]
            until(lambda: primary.ask("WAIT", replicas, WAIT_MS) == replicas, "the replicas")
            ports = [free_port() for _ in range(watching)]
            quorum = watching // 2 + 1
            watchers += [_sentinel(folder / f"s{port}", port, primary.port, quorum, binary, tls) for port in ports]
            for port in ports:
                until(lambda port=port: _sees(port, replicas, watching - 1, tls), "the sentinels")  # type: ignore[misc]  # bound
                if hasty:
                    with _open(port, tls) as sentinel:
                        sentinel.execute_command("SENTINEL", "DEBUG", *HASTY)
            yield Sentinels(nodes, ports, tls)
        finally:
            for watcher in watchers:
                watcher.terminate()
                watcher.wait()
            for node in nodes:
                node.end()


def _sentinel(
    folder: Path, port: int, primary: int, quorum: int, binary: Path | None, tls: Sequence[str]
) -> "subprocess.Popen[bytes]":
    folder.mkdir()
    config = folder / "sentinel.conf"
    lines = [f"{'tls-port' if tls else 'port'} {port}", f"bind {HOST}", f"dir {folder}", *(["port 0"] if tls else [])]
    lines += [f"{name.removeprefix('--')} {value}" for name, value in zip(tls[::2], tls[1::2], strict=True)]
    lines += [
        f"sentinel monitor lastro {HOST} {primary} {quorum}",
        f"sentinel down-after-milliseconds lastro {CALM_MS}",
        "sentinel failover-timeout lastro 2000",  # a vote without a winner is taken again after twice that
    ]
    config.write_text("\n".join(lines) + "\n")
    return subprocess.Popen(  # noqa: S603  # our own
        [local.find(binary), config, "--sentinel"],
        stdout=subprocess.DEVNULL,
        preexec_fn=local.die_with_parent,  # noqa: PLW1509  # one prctl(), no lock: fork-safe
    )


def _open(port: int, tls: Sequence[str]) -> Redis:
    given = dict(zip(tls[::2], tls[1::2], strict=True))
    names = {"ssl_ca_certs": "ca-cert", "ssl_certfile": "cert", "ssl_keyfile": "key"}
    secure: dict[str, Any] = {name: given[f"--tls-{file}-file"] for name, file in names.items()} if tls else {}
    return Redis(host=HOST, port=port, socket_timeout=2, ssl=bool(tls), **secure)


def _sees(port: int, replicas: int, others: int, tls: Sequence[str]) -> bool:
    with _open(port, tls) as client:
        told = client.execute_command("SENTINEL MASTER", "lastro")
    return bool(told["num-slaves"] == replicas and told["num-other-sentinels"] == others)


@contextmanager
def cluster(
    *, primaries: int = 3, replicas: int = 1, binary: Path | None = None, tls: Sequence[str] = ()
) -> Iterator[Cluster]:
    """A cluster with its slots shared out evenly, and so many replicas for each primary (0 or 1)."""
    with TemporaryDirectory(prefix="lastro-") as place:
        folder = Path(place)
        nodes: list[Node] = []
        try:
            for number in range(primaries * (1 + replicas)):
                options = {
                    "cluster-enabled": "yes",
                    "cluster-config-file": str(folder / f"{number}.conf"),
                    "cluster-node-timeout": str(CALM_MS),
                    "cluster-replica-validity-factor": "0",
                }
                given = [part for name, value in options.items() for part in (f"--{name}", value)]
                nodes.append(Node(folder / str(number), free_port(), given, binary, tls))
            _join(nodes, primaries)
            yield Cluster(nodes)
        finally:
            for node in nodes:
                node.end()


def _join(nodes: Sequence[Node], primaries: int) -> None:
    bounds = [number * 16_384 // primaries for number in range(primaries + 1)]
    for number, node in enumerate(nodes):
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < primaries:
            slots = range(bounds[number], bounds[number + 1])  # one by one: 6.2 knows no ADDSLOTSRANGE
            node.ask("CLUSTER", "ADDSLOTS", *slots)
        if number:
            node.ask("CLUSTER", "MEET", HOST, nodes[0].port)
    for node in nodes:
        until(lambda node=node: len(node.ask("CLUSTER NODES")) == len(nodes), "the cluster")  # type: ignore[misc]  # bound
    for number, node in enumerate(nodes[primaries:]):
        primary = nodes[number].ask("CLUSTER", "MYID").decode()
        until(lambda node=node, primary=primary: node.ask("CLUSTER", "REPLICATE", primary), "the primary")  # type: ignore[misc]
    for node in nodes:
        until(lambda node=node: node.ask("CLUSTER INFO")["cluster_state"] == "ok", "the cluster")  # type: ignore[misc]
    replicas = len(nodes) // primaries - 1
    for node in nodes[:primaries]:
        until(lambda node=node: node.ask("WAIT", replicas, WAIT_MS) == replicas, "the copy")  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Certificates:
    """An authority, and what it signed for loopback."""

    ca: Path
    cert: Path
    key: Path

    @property
    def options(self) -> tuple[str, ...]:
        """For a server that wants to see its clients' certificates, too."""
        files = {"tls-ca-cert-file": self.ca, "tls-cert-file": self.cert, "tls-key-file": self.key}
        chosen = {**files, "tls-replication": "yes", "tls-cluster": "yes"}
        return tuple(part for name, value in chosen.items() for part in (f"--{name}", str(value)))


def certificates(folder: Path) -> Certificates:
    """Made by ``openssl``, good for a day."""
    made = Certificates(folder / "ca.crt", folder / "own.crt", folder / "own.key")
    request = folder / "own.csr"
    named = f"-subj /CN=lastro -addext subjectAltName=IP:{HOST}"
    signing = f"-CA {made.ca} -CAkey {folder}/ca.key -CAcreateserial -copy_extensions copyall"
    for words in (
        f"req -x509 -newkey rsa:2048 -nodes -keyout {folder}/ca.key -out {made.ca} -days 1 -subj /CN=lastro-ca",
        f"req -newkey rsa:2048 -nodes -keyout {made.key} -out {request} {named}",
        f"x509 -req -in {request} -out {made.cert} -days 1 {signing}",
    ):
        subprocess.run(["openssl", *words.split()], check=True, capture_output=True)  # noqa: S603, S607  # our own words
    return made
