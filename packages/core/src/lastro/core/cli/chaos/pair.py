"""The server that serves, and a replica that can take its place, if there is one."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from lastro.core import local
from lastro.core.acts import free_ports

HOST = "127.0.0.1"
ANSWER_SECONDS = 2.0
AGAIN_SECONDS = 0.1
TRIES = 100
WHOLE = {
    "master_link_status": "up",
    "aof_rewrite_in_progress": 0,  # after a full copy, what it is told goes to no file of its own until that ends
    "aof_rewrite_scheduled": 0,
    "aof_last_bgrewrite_status": "ok",
}


@dataclass(slots=True, eq=False)
class Node:
    """A server: its folder, and its process when it has one."""

    folder: Path
    port: int
    """Where replicas read: they know no unix sockets. 0 where there are none."""
    server: local.Server | None = None

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self.server.pid if self.server is not None and self.server.alive() else None

    @property
    def socket(self) -> Path:
        """Where it listens; it is the same after every start."""
        assert self.server is not None
        return self.server.socket

    def start(self, *, copies: "Node | None") -> None:
        """Start it, or start it again; with ``copies`` as a replica of that one."""
        follow = ("--replicaof", f"{HOST} {copies.port}") if copies else ()
        options = ("--port", str(self.port), "--bind", HOST, "--repl-diskless-sync-delay", "0", *follow)
        self.server = local.start(self.folder, durability="always", options=options)

    def signal(self, number: int) -> None:
        """To its process, if it has one."""
        if (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def ask(self, *command: str) -> Any:
        """One command, in a thread: a server that was stopped must not stop the proxy. Raises RedisError."""
        return await asyncio.to_thread(self._ask, command)

    def _ask(self, command: tuple[str, ...]) -> Any:
        never_again = Retry(NoBackoff(), 0)
        with Redis(unix_socket_path=str(self.socket), socket_timeout=ANSWER_SECONDS, retry=never_again) as client:
            return client.execute_command(*command)

    async def insist(self, *command: str, still: Callable[[], bool] = lambda: True) -> None:
        """Until it has done it, or need not any more; it may be stopped, or loading after a kill."""
        for _ in range(TRIES):
            if not still():
                return
            with suppress(RedisError):
                await self.ask(*command)
                return
            await asyncio.sleep(AGAIN_SECONDS)


@dataclass(slots=True, kw_only=True)
class Pair:
    """Who is who at the moment."""

    primary: Node
    replica: Node | None
    variables: Mapping[str, str] = field(default_factory=dict)
    """For the servers alone."""

    @classmethod
    def started(cls, folder: Path, replicas: int, variables: Mapping[str, str]) -> Self:
        """One server, or two, each in a folder of its own."""
        ports = free_ports(2) if replicas else [0]
        primary, *others = [Node(folder / f"server-{port or 'alone'}", port) for port in ports]
        pair = cls(primary=primary, replica=others[0] if others else None, variables=variables)
        pair.start()
        return pair

    @property
    def nodes(self) -> list[Node]:
        """The primary first."""
        return [self.primary, *([self.replica] if self.replica else [])]

    def start(self) -> None:
        """Start what does not run."""
        for node in self.nodes:
            if node.pid is None:
                with environment(self.variables):
                    node.start(copies=self.primary if node is self.replica else None)

    def stop(self) -> None:
        """Both, for good."""
        for node in self.nodes:
            node.signal(signal.SIGCONT)
            if node.server is not None:
                node.server.stop()

    async def in_step(self) -> bool:
        """The replica has all that the primary was confirmed, on its disk, too: it may take its place."""
        if self.replica is None:
            return False
        try:
            told = {**await self.replica.ask("INFO", "replication"), **await self.replica.ask("INFO", "persistence")}
        except RedisError:
            return False
        return all(told.get(name) == value for name, value in WHOLE.items())

    async def fail_over(self, number: int) -> Node:
        """The primary gets that signal, and its replica its place; returns who was it, and does not know yet."""
        old, new = self.primary, self.replica
        assert new is not None
        self.primary, self.replica = new, old  # first: whoever starts one again starts it as what it is now
        old.signal(number)
        await new.insist("REPLICAOF", "NO", "ONE")
        return old

    async def take_back(self, node: Node) -> None:
        """As a replica, unless it has become the primary again; what it alone has is lost, and was never confirmed."""
        node.signal(signal.SIGCONT)
        await node.insist("REPLICAOF", HOST, str(self.primary.port), still=lambda: node is self.replica)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables for what is started now."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
