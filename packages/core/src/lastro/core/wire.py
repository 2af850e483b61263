"""The services' side of a connection: uvicorn's, with bounds on what comes before anybody was asked who it is."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 65_536
"""Of a request's first line and headers; HAProxy and nginx allow less."""
REQUEST_SECONDS = 30.0
"""A request has come whole in so long, and a connection's first one too, or the connection is closed."""
_REFUSAL = (
    b'{"type":"urn:lastro:problem:lastro.head_too_large","title":"Request Header Fields Too Large","status":431,'
    b'"code":"lastro.head_too_large","detail":"The request line and headers are longer than 65536 bytes."}'
)
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_REFUSAL), _REFUSAL)
)


class Bounded(HttpToolsProtocol):
    """One connection. Between requests it is uvicorn's keep-alive that bounds it."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._coming = self._heading = False
        self._head_bytes = 0
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Part of a request, or what comes before one."""
        super().data_received(data)
        if self._heading:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.transport.write(TOO_LARGE)
                self.transport.close()
        if self._late is None and (self._coming or self.cycle is None or self.cycle.response_complete):
            self._wait()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._coming = self._heading = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._heading = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._coming = False
        self._came()
        super().on_message_complete()

    def _wait(self) -> None:
        self._late = self.loop.call_later(REQUEST_SECONDS, self._close)

    def _came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        self.transport.close()
