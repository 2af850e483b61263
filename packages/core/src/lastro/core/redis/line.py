"""One connection for batches: all commands packed and sent at once, all replies read in a row."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis
import redis.exceptions as theirs
from redis.asyncio.connection import AbstractConnection

from lastro.core.errors import LastroError, OutcomeUnknown, Unreachable

from .connections import Command, packed
from .copies import MARK, SCRIPT_CALLS, Copies
from .failures import demoted, ours

_MORE = object()


class _Wire(asyncio.Protocol):
    """The bytes of a connection that redis-py has opened: what a batch is answered, without a stream in between.

    redis-py's reader costs about 100 µs of client CPU a batch, most of what a batch of one costs.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self.lost = False
        self.answer: asyncio.Future[list[Any]] | None = None
        self.wanted = 0
        self.replies: list[Any] = []
        refusal = connection._parser.parse_error  # noqa: SLF001  # the one place that knows redis-py's error classes
        self.reader = hiredis.Reader(protocolError=theirs.InvalidResponse, replyError=refusal, notEnoughData=_MORE)
        writer = connection._writer  # noqa: SLF001  # connected: what it reads is ours from here on
        assert writer is not None
        self.transport = cast("asyncio.Transport", writer.transport)
        self.transport.set_protocol(self)

    def ask(self, sending: bytes, wanted: int) -> "asyncio.Future[list[Any]]":
        """Send, and the future of so many replies."""
        answer = self.answer = asyncio.get_running_loop().create_future()
        self.wanted, self.replies = wanted, []
        self.transport.write(sending)
        return answer

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        try:
            self.reader.feed(data)
            while len(self.replies) < self.wanted:
                reply = self.reader.gets()
                if reply is _MORE:
                    return
                self.replies.append(reply)
        except theirs.InvalidResponse as nonsense:
            self.connection_lost(nonsense)
            return
        if answer is not None and not answer.done():
            answer.set_result(self.replies)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(exc or theirs.ConnectionError("connection closed by the server"))

    def expire(self, seconds: float) -> None:
        """Time is over for the batch that waits."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(OutcomeUnknown(reason=f"no answer in {seconds} s"))


@dataclass(slots=True, eq=False)
class Line:
    """Sends batches over one connection, one at a time; callers queue.

    2.5 µs of client CPU a command against 18 for a pipeline (docs/decisions/0003).
    """

    connection: AbstractConnection
    timeout_seconds: float
    copies: Copies | None = None
    lost: Callable[[], None] | None = None
    """Told when a batch failed, or met a server that is not the one any more."""
    _free: asyncio.Lock = field(default_factory=asyncio.Lock)
    _wire: _Wire | None = None
    _ended: bool = False

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The replies in order; a command the server refused has its redis-py ResponseError in place.

        Raises Unreachable when nothing was sent, OutcomeUnknown when some of it may have been executed, or has not
        enough copies.
        """
        waiting = self._waiting(commands)
        replies = await self._send([*commands, *waiting] if waiting else commands)
        if waiting and self.copies is not None:
            replies, told = replies[: -len(waiting)], replies[-len(waiting) :]
            if any(not isinstance(reply, Exception) for reply in replies):
                self.copies.require(told)
        return replies

    def _waiting(self, commands: Sequence[Command]) -> list[Command]:
        if self.copies is None:
            return []
        call = next((each for each in commands if each[0] in SCRIPT_CALLS and each[1] is not MARK), None)
        return [] if call is None else self.copies.commands(call)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        sending = b"".join([packed(command) for command in commands])
        async with self._free:
            try:
                wire = self._wire
                if wire is None or wire.lost:
                    wire = self._wire = await self._opened()
                answer = wire.ask(sending, len(commands))
                late = asyncio.get_running_loop().call_later(self.timeout_seconds, wire.expire, self.timeout_seconds)
                try:
                    replies = await answer
                finally:
                    late.cancel()
                for reply in replies:
                    if isinstance(reply, theirs.ConnectionError):  # redis-py's class of -LOADING and its like
                        raise reply
                    if isinstance(reply, theirs.ResponseError) and demoted(reply):  # ask anew who is the primary
                        await self.aclose()
            except BaseException as error:
                await self.aclose()
                if self.lost is not None:
                    self.lost()
                if not isinstance(error, LastroError) and (known := ours(error)) is not None:
                    raise known from error
                raise
            return replies

    @property
    def connected(self) -> bool:
        """The connection that the last batch went over still stands."""
        return self._wire is not None and not self._wire.lost

    async def _opened(self) -> _Wire:
        await self.connection.disconnect(nowait=True)
        try:
            async with asyncio.timeout(self.timeout_seconds):
                if not self._ended:
                    await self.connection.connect()  # type: ignore[no-untyped-call]  # theirs
        except TimeoutError:
            raise Unreachable(reason=f"no connection in {self.timeout_seconds} s") from None
        if self._ended:  # before, or while it was being opened: then nobody would close it any more
            raise Unreachable(reason="this process has closed its connections")
        return _Wire(self.connection)

    async def end(self) -> None:
        """Close the connection for good."""
        self._ended = True
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; the next ``send`` opens it again."""
        self._wire = None
        await self.connection.disconnect(nowait=True)
