"""HTTP over keep-alive connections, for loops that send hundreds of requests a second.

Nothing is repeated and nothing shared: a request either never left (NotConnected), or was answered, or was cut (Cut).
Parsing is httptools'; a general client costs five times the CPU.
"""

import asyncio
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

IDLE_CONNECTIONS_MAX = 400


class NotConnected(Exception):  # never leaves this file
    """No connection could be made: nothing was sent."""


class Cut(Exception):  # likewise
    """The connection ended, or time did, after the request was written."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as it came."""

    status: int
    body: bytes


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Answer] | None = None
        self.body = b""
        self.open = False
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.open = cast("asyncio.Transport", transport), True  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(Cut())

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(Answer(self.parser.get_status_code(), self.body))
        if not self.parser.should_keep_alive():
            self.close()
        self.body = b""

    def request(self, packed: bytes) -> "asyncio.Future[Answer]":
        assert self.transport is not None
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(packed)
        return self.answer

    def expire(self) -> None:
        """Time is over: whatever comes now is of no use."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(Cut())
        self.close()

    def close(self) -> None:
        self.open = False
        if self.transport is not None:
            self.transport.close()


@dataclass(eq=False)
class HttpClient:
    """The server at ``url``."""

    url: str
    connect_seconds: float
    answer_seconds: float
    key: str = ""
    """An API key, sent with each request."""
    _idle: list[_Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        key = f"Authorization: Bearer {self.key}\r\n" if self.key else ""
        self.head = f" HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n{key}".encode()

    async def ask(self, method_path: bytes, body: bytes = b"", headers: bytes = b"") -> Answer:
        """One request: ``b"POST /payments"``, a JSON body, more header lines. Raises NotConnected or Cut."""
        connection = await self._connection()
        try:
            length = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b""
            asked = connection.request(method_path + self.head + headers + length + b"\r\n" + body)
            late = asyncio.get_running_loop().call_later(self.answer_seconds, connection.expire)
            try:
                answer = await asked
            finally:
                late.cancel()
        except asyncio.CancelledError:
            connection.close()
            raise
        if connection.open and len(self._idle) < IDLE_CONNECTIONS_MAX:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.connect_seconds):
                _, connection = await loop.create_connection(_Connection, self.host, self.port)
        except OSError:  # TimeoutError is one
            raise NotConnected from None
        return connection

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
