"""redis-py's clients, with our packing, our errors and no repeats; made from a URL."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import hiredis
import redis.exceptions as theirs
from redis.asyncio import BlockingConnectionPool, Connection, Redis, RedisCluster, SSLConnection
from redis.asyncio import UnixDomainSocketConnection as UnixConnection
from redis.asyncio.client import Pipeline
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from lastro.core.errors import Misconfigured
from lastro.core.logging import mask_url
from lastro.core.metrics import counter

from .copies import SCRIPT_CALLS, Copies
from .failures import NeverSent, SlotMoving, demoted, translated

Command: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom to trust, and who we are, where the URL says ``rediss``."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def options(self) -> dict[str, str]:
        """As redis-py names them."""
        given = {"ssl_ca_certs": self.ca, "ssl_certfile": self.cert, "ssl_keyfile": self.key}
        return {name: str(path) for name, path in given.items() if path is not None}


RECONNECTS = counter(
    "redis_reconnects_total",
    "connections to the server that were lost and opened anew",
    do="who closes them: its restart, its timeout, the network, or commands of ours that time out?",
)


@dataclass(slots=True)
class Life:
    """Of all connections of a hub: when it is over, none is opened any more, since nobody would close it."""

    over: bool = False

    def require(self) -> None:
        """Raise NeverSent when it is over."""
        if self.over:
            raise NeverSent("this process has closed its connections")


class _ScriptCall(list[bytes]):
    """A packed script call, and behind it what asks for its copies."""


class _Packing(AbstractConnection):
    """Packs with hiredis (redis-py packs in Python: a third of a command) and marks what never left.

    A script call is answered when there are as many ``copies`` as wanted, and never asked of the server that a slot is
    being moved to: a script that found half of its keys there would take the rest for absent.
    """

    def __init__(self, *, copies: Copies | None = None, life: Life, **options: Any) -> None:
        self.copies = copies
        self.life = life
        self._asked = self._was_open = self._demoted = False
        super().__init__(**options)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002
        """As redis-py's; not to a server that is no primary any more: the address may lead to another by now."""
        if self._demoted:
            await self.disconnect(nowait=True)
            self._demoted = False
        await super().send_packed_command(command, check_health)
        self._asked = isinstance(command, _ScriptCall)  # now: connecting, which that may begin with, asks on its own

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py's."""
        if not self._asked:
            return await self._read(args, options)
        self._asked = False
        answer: Any = None
        refusal: theirs.ResponseError | None = None
        try:
            answer = await self._read(args, options)
        except theirs.ResponseError as error:
            refusal = SlotMoving(str(error)) if type(error) is theirs.AskError else error
        if self.copies is not None:
            told = [await self._told(args, options) for _ in range(self.copies.replies)]
            if refusal is None:
                self.copies.require(told)
        if refusal is not None:
            raise refusal
        return answer

    async def _read(self, args: Any, options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except theirs.ResponseError as error:
            self._demoted = self._demoted or demoted(error)
            raise

    async def _told(self, args: Any, options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except theirs.ResponseError as refused:
            return refused

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """As redis-py's, but what fails here was never sent, and a caller who leaves half way leaves nothing open.

        A connection is opened once, and what comes after was lost; redis-py greets a server twice while it opens one.
        """
        opening = not self.is_connected
        try:
            self.life.require()
            await super().connect_check_health(*args, **kwargs)
            self.life.require()
        except (asyncio.CancelledError, NeverSent):
            await self.disconnect(nowait=True)
            raise
        except (theirs.ConnectionError, theirs.TimeoutError, OSError) as error:
            if type(error) in {theirs.ConnectionError, theirs.TimeoutError} or isinstance(error, OSError):
                raise NeverSent(str(error)) from error
            raise
        if opening and self._was_open:
            RECONNECTS.of().inc()
        self._was_open = True

    async def disconnect(self, nowait: bool = False, *args: Any, **options: Any) -> None:  # noqa: FBT001, FBT002
        """As redis-py's, but at once is at once: a close waits for what was not sent yet, over TLS for an answer.

        And one that lasts too long is at once, too: what was answered before is not undone by how a connection ends.
        """
        transport = None if self._writer is None else self._writer.transport
        if nowait and transport is not None:
            transport.abort()
        try:
            await super().disconnect(nowait, *args, **options)
        except theirs.TimeoutError:
            if transport is not None:
                transport.abort()

    def pack_command(self, *args: Any) -> list[bytes]:
        """One command."""
        if args[0] not in SCRIPT_CALLS:
            return [packed(args)]
        asking = b"" if self.copies is None else b"".join([packed(each) for each in self.copies.commands(args)])
        return _ScriptCall([packed(args) + asking])

    def pack_commands(self, commands: Any) -> list[bytes]:
        """Many, in one piece."""
        return [b"".join([packed(command) for command in commands])]


def packed(command: Command) -> bytes:
    """Write a command in the protocol's form."""
    name = command[0]
    if isinstance(name, str) and " " in name:  # redis-py writes "SCRIPT LOAD" as one word and splits it here
        command = (*name.split(), *command[1:])
    packed_bytes: bytes = hiredis.pack_command(command)
    return packed_bytes


class TcpConnection(_Packing, Connection):
    """Over TCP."""


class TlsConnection(_Packing, SSLConnection):
    """Over TLS."""


class LocalConnection(_Packing, UnixConnection):
    """Over a unix socket."""


class SentinelConnection(_Packing, SentinelManagedConnection):
    """To the primary that the sentinels name."""


class SentinelTlsConnection(_Packing, SentinelManagedSSLConnection):
    """Likewise, over TLS."""


_OURS: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: TcpConnection,
    SSLConnection: TlsConnection,
    UnixConnection: LocalConnection,
}


class Pool(BlockingConnectionPool):
    """Waits for a free connection instead of raising at once; not getting one means nothing was sent."""

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> AbstractConnection:
        """Take a connection, waiting for one at most as long as for an answer."""
        try:
            return cast("AbstractConnection", await super().get_connection())  # type: ignore[no-untyped-call]  # theirs
        except theirs.ConnectionError as error:
            if type(error) is theirs.ConnectionError:
                raise NeverSent(str(error)) from error
            raise


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server can do beyond the floor (6.2), asked once per hub."""

    version: str = "7.0.0"
    name: str = "redis"
    cluster: bool = False
    shebang: bool = True
    """``#!lua`` on a script's first line: Redis ≥ 7.0, Valkey. On 6.2 it is a compile error, DragonflyDB reads none."""


class _Translating:
    """Mixed into redis-py's clients: one command, one error of ours."""

    capabilities: Capabilities = Capabilities()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's, with our errors."""
        with translated():
            return await super().execute_command(*args, **options)  # type: ignore[misc]  # the client it is mixed into


class TranslatingPipeline(Pipeline):
    """A pipeline whose failures are ours too."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002  # redis-py's signature
        """As redis-py's, with our errors."""
        with translated():
            return await super().execute(raise_on_error)


class PlainClient(_Translating, Redis):  # type: ignore[misc]  # two of redis-py's own mixins disagree
    """One server, or the primary behind sentinels."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: FBT001, FBT002
        """As redis-py's."""
        return TranslatingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001  # redis-py's signature
        """As redis-py's, and the connections to the sentinels too."""
        await super().aclose(close_connection_pool)
        if isinstance(self.connection_pool, SentinelConnectionPool):
            for sentinel in self.connection_pool.sentinel_manager.sentinels:
                await sentinel.aclose()


class TranslatingClusterPipeline(ClusterPipeline):
    """Likewise, in a cluster."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; its transactions hand ``keys``, a hint for caches, on to who cannot take it."""
        options.pop("keys", None)
        return super().execute_command(*args, **options)

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:  # noqa: FBT001, FBT002
        """As redis-py's, with our errors."""
        with translated():
            return await super().execute(raise_on_error, allow_redirections)


class ClusterClient(_Translating, RedisCluster):  # type: ignore[misc]  # likewise
    """A cluster; redirects are followed (what was redirected was not executed), nothing else is repeated."""

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:  # theirs
        """As redis-py's."""
        return TranslatingClusterPipeline(self, transaction)  # type: ignore[abstract]  # their slots name it without a value


Client: TypeAlias = PlainClient | ClusterClient


def client_of(
    url: str,
    *,
    life: Life,
    retry: Retry,
    socket_timeout: float,
    connections: int,
    tls: Tls,
    copies: Copies | None = None,
) -> Client:
    """Make a client; Misconfigured, with the password masked, for a URL that makes no sense."""
    options: dict[str, Any] = {
        "retry": retry,
        "socket_timeout": socket_timeout + (copies.timeout_ms / 1000 if copies else 0),
        "socket_connect_timeout": min(socket_timeout, 2.0),
        "protocol": 2,
        "driver_info": None,
    }
    scheme, _, rest = url.partition("://")
    if scheme.startswith("rediss"):
        options |= tls.options
    try:
        match scheme:
            case "redis+cluster" | "rediss+cluster":
                return _cluster(
                    f"{scheme.removesuffix('+cluster')}://{rest}", options, {"copies": copies, "life": life}
                )
            case "redis+sentinel" | "rediss+sentinel":
                return _behind_sentinels(url, options | {"copies": copies, "life": life}, connections)
            case "redis" | "rediss" | "unix":
                given: dict[str, Any] = dict(parse_url(url))
                given.setdefault("connection_class", Connection)
                given["connection_class"] = _OURS[given["connection_class"]]
                pool = Pool(
                    max_connections=connections, timeout=socket_timeout, copies=copies, life=life, **(options | given)
                )
                return cast("PlainClient", PlainClient.from_pool(pool))
            case _:
                raise ValueError(f"{scheme or url!r} is not one of redis, rediss, unix, redis+sentinel, redis+cluster")
    except (ValueError, TypeError) as error:
        raise Misconfigured(setting="LASTRO_REDIS_URL", reason=mask_url(str(error))) from None


def _number(text: str) -> int:
    """A port or a database. What is none may be of a password that was not quoted: it is not told."""
    if not text.isdecimal():
        raise ValueError("a port, and a database, is a number; a / in a password is written %2F")
    return int(text)


def _cluster(url: str, options: dict[str, Any], ours: dict[str, Any]) -> ClusterClient:
    """``redis+cluster://[user:password@]host:port[,host:port]``: any of its servers will do."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    first, *others = hosts.split(",")
    nodes = [ClusterNode(host, _number(port)) for host, _, port in (other.rpartition(":") for other in others)]
    given: dict[str, Any] = {"startup_nodes": nodes} if nodes else {}
    given["reinitialize_steps"] = 0  # with any other, redirects now and then close the connections of all who wait
    client = cast(
        "ClusterClient",
        ClusterClient.from_url(urlunsplit(parts._replace(netloc=login + at + first)), **given, **options),
    )
    kind = _OURS[client.connection_kwargs["connection_class"]]
    client.connection_kwargs |= {"connection_class": kind, **ours}
    for node in client.nodes_manager.startup_nodes.values():
        node.connection_class = cast("type[Connection]", kind)
        node.connection_kwargs |= ours
    return client


def _behind_sentinels(url: str, options: dict[str, Any], connections: int) -> PlainClient:
    """``redis+sentinel://[user:password@]host:port,host:port/service[/db][?sentinel_password=…]``."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("name the service: redis+sentinel://host:26379,host:26379/service")
    addresses = [
        (host.rpartition(":")[0] or host, _number(host.rpartition(":")[2] or "26379")) for host in hosts.split(",")
    ]
    query = dict(parse_qsl(parts.query))
    user, _, password = login.partition(":")
    secure = parts.scheme.startswith("rediss")
    over_tls = {"ssl": True} | {name: value for name, value in options.items() if name.startswith("ssl_")}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # theirs
        addresses,
        sentinel_kwargs={"socket_timeout": 1.0, "password": query.get("sentinel_password")}
        | (over_tls if secure else {}),
    )
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]  # theirs
        service,
        sentinel,
        connection_class=SentinelTlsConnection if secure else SentinelConnection,
        max_connections=connections,
        username=unquote(user) or None,
        password=unquote(password) or None,
        db=_number(db or "0"),
        **options,
    )
    return cast("PlainClient", PlainClient.from_pool(pool))
