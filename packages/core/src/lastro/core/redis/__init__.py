"""The one place that connects.

``connect(settings)`` gives a Hub: ``write`` never repeats a command behind our back (redis-py 8 repeats ten times by
default; one dropped reply made an INCR count twice), ``read`` may, ``blocking()`` is a connection of its own whose
deadline is the block plus a margin, and ``line(place)`` sends whole batches over one connection. Every failure of
redis-py arrives as one of ours (`failures`).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import redis.exceptions as theirs
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff

from lastro.core import local
from lastro.core.errors import LastroError, Unreachable
from lastro.core.keys import slot
from lastro.core.logging import mask_url
from lastro.core.settings import Settings

from .clients import Capabilities, Client, ClusterClient, PlainClient, Tls, client_of
from .connections import Life
from .copies import Copies
from .failures import ours, translated
from .line import Line as Line

BLOCK_MARGIN_SECONDS = 2.0
RELEARN_SECONDS = 0.2
"""Between two questions to a cluster about who has what."""
READ_RETRIES = 3
Kind = TypeVar("Kind")


@dataclass(slots=True)
class Hub:
    """The clients of one process. Close it when the process stops."""

    write: Client
    read: Client
    capabilities: Capabilities
    url: str
    """With its password masked, for display."""
    timeout_seconds: float
    server: local.Server | None = None
    copies: Copies | None = None
    life: Life = field(default_factory=Life)
    _lines: dict[str, Line] = field(default_factory=dict)
    _own_lines: set[Line] = field(default_factory=set)
    _blocking: list[Client] = field(default_factory=list)
    _make: Any = None
    _shared: dict[type, Any] = field(default_factory=dict)
    _relearning: "asyncio.Task[None] | None" = None

    def one(self, kind: type[Kind], make: Callable[[], Kind]) -> Kind:
        """The one of its kind on this hub, made when first asked for: what the faces of one process share."""
        found: Kind | None = self._shared.get(kind)
        if found is None:
            found = self._shared[kind] = make()
        return found

    def place(self, key: str) -> str:
        """The name of the server that has ``key``: what shares a place can share a batch."""
        if isinstance(self.write, PlainClient):
            return ""
        with translated():
            return _node(self.write, key).name

    def line(self, place: str = "") -> Line:
        """The line to the server of that place; one per server and hub."""
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = self._new_line(place, self.timeout_seconds)
        return line

    async def copied(self, key: str) -> None:
        """Before what was read of ``key`` is told to somebody outside: it has its copies, if copies are wanted.

        Otherwise a failover could take back what is told already. Raises OutcomeUnknown when they do not come in time.
        """
        if self.copies is not None:
            marked, reached = await self.line(self.place(key)).send(self.copies.of(key))
            if isinstance(marked, theirs.MovedError):
                await self.moved(marked)
            self.copies.require([marked, reached])

    def own_line(self, place: str, *, block_seconds: float) -> Line:
        """A line for one user, whose commands may wait at the server for so long."""
        line = self._new_line(place, block_seconds + BLOCK_MARGIN_SECONDS)
        self._own_lines.add(line)
        return line

    async def close_line(self, line: Line) -> None:
        """Close what ``own_line`` gave."""
        self._own_lines.discard(line)
        await line.end()

    async def hash_pages(self, key: str, count: int) -> AsyncGenerator[dict[bytes, bytes]]:
        """All fields of a hash, about ``count`` at a time; one may come twice while the hash grows.

        Over one connection: to a server that was started again, or took over, a cursor means another place, and fields
        would be passed over in silence. Raises Unreachable or OutcomeUnknown then: read again from the start.
        """
        line = self.own_line(self.place(key), block_seconds=self.timeout_seconds)
        cursor = b"0"
        try:
            while True:
                if cursor != b"0" and not line.connected:
                    raise Unreachable(reason=f"the server went away while {key} was read")
                (reply,) = await line.send([("HSCAN", key, cursor, "COUNT", count)])
                cursor, flat = await self.told(reply)
                yield dict(zip(flat[::2], flat[1::2], strict=True))
                if cursor == b"0":
                    return
        finally:
            await self.close_line(line)

    def _new_line(self, place: str, timeout_seconds: float) -> Line:
        if isinstance(self.write, PlainClient):
            connection = self.write.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # theirs
        else:
            node = self.write.get_node(node_name=place)
            assert node is not None, place
            connection = node.connection_class(**node.connection_kwargs)
        waiting = 0 if self.copies is None else self.copies.timeout_ms / 1000
        lost = None if isinstance(self.write, PlainClient) else self._relearn
        return Line(_without_read_deadline(connection), timeout_seconds + waiting, self.copies, lost)

    async def moved(self, error: theirs.MovedError) -> None:
        """Learn from a redirect that a line met; what was redirected was not executed."""
        if isinstance(self.write, ClusterClient):
            await self.write.nodes_manager.move_slot(error)

    async def told(self, reply: Any) -> Any:
        """What a line was told; a refusal is raised as ours, and a redirect is learned before."""
        if isinstance(reply, theirs.MovedError):
            await self.moved(reply)
        if isinstance(reply, theirs.ResponseError):
            raise ours(reply) or reply
        return reply

    def _relearn(self) -> None:
        """Ask the cluster anew who has what, in the background: no command is there to find out."""
        if self._relearning is None or self._relearning.done():
            self._relearning = asyncio.create_task(self._learn())

    async def _learn(self) -> None:
        assert isinstance(self.write, ClusterClient)
        with suppress(LastroError), translated():
            await self.write.nodes_manager.initialize()
        await asyncio.sleep(RELEARN_SECONDS)

    def blocking(self, block_seconds: float) -> Client:
        """A client for reads that wait up to ``block_seconds``: own connection, own deadline, never repeated.

        Kept until the hub closes: for who reads as long as the process lives. Who comes and goes has ``own_line``.
        """
        client: Client = self._make(socket_timeout=block_seconds + BLOCK_MARGIN_SECONDS, connections=2)
        client.capabilities = self.capabilities
        self._blocking.append(client)
        return client

    async def aclose(self) -> None:
        """Close every connection, for good; stop the embedded server if this hub started it."""
        self.life.over = True
        if self._relearning is not None:
            self._relearning.cancel()
            await asyncio.gather(self._relearning, return_exceptions=True)
        for line in (*self._lines.values(), *self._own_lines):
            await line.end()
        for client in (self.write, self.read, *self._blocking):
            await client.aclose()
        if self.server is not None:
            self.server.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def connect(settings: Settings) -> Hub:
    """Connect by URL, or to the embedded server when there is none; asks the server what it can do.

    Raises Misconfigured for a URL that makes no sense, Unreachable when nobody answers.
    """
    server = None
    if settings.redis_url is None:
        server = local.start(settings.data_dir, binary=settings.server, durability=settings.durability)
        url = server.url
    else:
        url = settings.redis_url.get_secret_value()
    hub = await connect_url(
        url,
        timeout_seconds=settings.redis_timeout_seconds,
        connections_max=settings.redis_connections_max,
        tls=Tls(settings.redis_ca, settings.redis_cert, settings.redis_key),
        copies=Copies(settings.redis_replicas, settings.redis_replicas_timeout_ms) if settings.redis_replicas else None,
    )
    hub.server = server
    return hub


async def connect_url(
    url: str,
    *,
    timeout_seconds: float = 5.0,
    connections_max: int = 64,
    tls: Tls = Tls(),  # noqa: B008  # frozen
    copies: Copies | None = None,
) -> Hub:
    """Connect to ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or ``redis+cluster://``.

    ``rediss`` is over TLS, also as ``rediss+sentinel`` and ``rediss+cluster``. With ``copies``, what the write client
    and the lines ask of scripts is answered when the replicas have it, else OutcomeUnknown.
    """
    life = Life()

    def make(
        *,
        retries: int = 0,
        socket_timeout: float = timeout_seconds,
        connections: int = connections_max,
        copies: Copies | None = None,
    ) -> Client:
        retry = Retry(ExponentialBackoff(cap=0.5, base=0.01) if retries else NoBackoff(), retries)
        return client_of(
            url, life=life, retry=retry, socket_timeout=socket_timeout, connections=connections, tls=tls, copies=copies
        )

    write, read = make(copies=copies), make(retries=READ_RETRIES)
    try:
        found = await probe(write)
    except BaseException:
        life.over = True
        await write.aclose()
        await read.aclose()
        raise
    write.capabilities = read.capabilities = found
    if copies is not None:
        copies.shebang = found.shebang
    return Hub(write, read, found, mask_url(url), timeout_seconds, copies=copies, life=life, _make=make)


async def probe(client: Client) -> Capabilities:
    """Ask the server what it is; from that follows which newer commands may be used."""
    anywhere = {"target_nodes": RedisCluster.RANDOM} if isinstance(client, RedisCluster) else {}
    told: Any = await client.execute_command("INFO", "server", **anywhere)
    info: Mapping[str, Any] = told
    if info and all(isinstance(value, dict) for value in info.values()):
        info = next(iter(info.values()))  # a cluster answers node by node
    valkey = info.get("valkey_version")
    dragonfly = "dragonfly_version" in info
    version = str(valkey or info.get("redis_version", "6.2.0"))
    major_minor = tuple(int(part) for part in version.split(".")[:2])
    return Capabilities(
        version=version,
        name="valkey" if valkey else "dragonfly" if dragonfly else "redis",
        cluster="cluster" in {info.get("redis_mode"), info.get("server_mode")},
        shebang=bool(valkey) or (major_minor >= (7, 0) and not dragonfly),
    )


def _node(client: ClusterClient, key: str) -> ClusterNode:
    node = client.nodes_manager.get_node_from_slot(slot(key))
    assert node is not None, key
    return node


def _without_read_deadline(connection: AbstractConnection) -> AbstractConnection:
    """A line has one deadline per batch; redis-py's own opens a timer per reply."""
    connection.socket_timeout = None
    return connection
