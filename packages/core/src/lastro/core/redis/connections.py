"""redis-py's connections and pools, with hiredis' packing, marks of what never left, and copies behind script calls."""

import asyncio
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import hiredis
import redis.exceptions as theirs
from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection
from redis.asyncio import UnixDomainSocketConnection as UnixConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from lastro.core.metrics import counter

from .copies import SCRIPT_CALLS, Copies
from .failures import NeverSent, SlotMoving, demoted

Command: TypeAlias = tuple[Any, ...]

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


OURS: dict[type[AbstractConnection], type[AbstractConnection]] = {
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


class SentinelPool(SentinelConnectionPool, Pool):
    """Likewise, behind sentinels."""
