"""redis-py's clients, with our packing, our errors and no repeats; made from a URL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from redis.asyncio import Connection, Redis, RedisCluster
from redis.asyncio.client import Pipeline
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
)

from lastro.core.errors import Misconfigured
from lastro.core.logging import mask_url

from .connections import OURS, Life, Pool, SentinelConnection, SentinelPool, SentinelTlsConnection
from .copies import Copies
from .failures import NeverSent, translated


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
    """A cluster; redirects are followed (what was redirected was not executed), nothing else is repeated.

    Its servers have pools that refuse at once: so many callers are let in, and more wait, as they do elsewhere.
    """

    places: asyncio.Semaphore
    patience_seconds: float

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        """Among those who may have a connection. Raises NeverSent when none leaves in time."""
        try:
            async with asyncio.timeout(self.patience_seconds):
                await self.places.acquire()
        except TimeoutError:
            raise NeverSent(f"no connection was free in {self.patience_seconds} s") from None
        try:
            yield
        finally:
            self.places.release()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's, with our errors."""
        with translated():
            async with self.room():
                return await RedisCluster.execute_command(self, *args, **options)

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
                    f"{scheme.removesuffix('+cluster')}://{rest}",
                    options,
                    {"copies": copies, "life": life},
                    connections,
                )
            case "redis+sentinel" | "rediss+sentinel":
                return _behind_sentinels(url, options | {"copies": copies, "life": life}, connections)
            case "redis" | "rediss" | "unix":
                given: dict[str, Any] = dict(parse_url(url))
                given.setdefault("connection_class", Connection)
                given["connection_class"] = OURS[given["connection_class"]]
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


def _cluster(url: str, options: dict[str, Any], ours: dict[str, Any], connections: int) -> ClusterClient:
    """``redis+cluster://[user:password@]host:port[,host:port]``: any of its servers will do."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    first, *others = hosts.split(",")
    nodes = [ClusterNode(host, _number(port)) for host, _, port in (other.rpartition(":") for other in others)]
    given: dict[str, Any] = {"startup_nodes": nodes} if nodes else {}
    given["max_connections"] = connections
    given["reinitialize_steps"] = 0  # with any other, redirects now and then close the connections of all who wait
    client = cast(
        "ClusterClient",
        ClusterClient.from_url(urlunsplit(parts._replace(netloc=login + at + first)), **given, **options),
    )
    client.places, client.patience_seconds = asyncio.Semaphore(connections), options["socket_timeout"]
    kind = OURS[client.connection_kwargs["connection_class"]]
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
    pool = SentinelPool(  # type: ignore[no-untyped-call]  # theirs
        service,
        sentinel,
        timeout=options["socket_timeout"],
        connection_class=SentinelTlsConnection if secure else SentinelConnection,
        max_connections=connections,
        username=unquote(user) or None,
        password=unquote(password) or None,
        db=_number(db or "0"),
        **options,
    )
    return cast("PlainClient", PlainClient.from_pool(pool))
