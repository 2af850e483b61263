"""One ``configure()``; after that ``structlog.get_logger()`` everywhere.

An event's name is the verb (``pix.settled``); ids are bound with ``structlog.contextvars``, a request's at the edge as
REQUEST_ID; nothing is both logged and raised. What could be a secret never reaches a sink: see ``REDACTED``; nor do a
traceback's local variables.
"""

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer

REDACTED = re.compile(r"password|secret|token|authorization|api_?key|cookie", re.IGNORECASE)
CHATTY = ("httpx", "httpcore", "uvicorn", "asyncio")
"""Libraries that log every request or their own coming and going: only what is wrong with them is news."""
REQUEST_ID: ContextVar[bytes] = ContextVar("request_id", default=b"")
"""Of the request that is being answered. Not among structlog's own: binding there costs each request 0.5 µs."""
_LOGIN = re.compile(r"(?<=://)(?::\S+@|[^:@/?#\s]*:(?!\d*[/?#])\S+@|[^/?#\s]+@)")
"""Of a URL: with a password up to the last `@`, since one may hold any sign and the servers' clients take it so."""
_PARAMETER = re.compile(rf"(?<![^?&;\s])([\w.-]*(?:{REDACTED.pattern})[\w.-]*=)[^&\s]+", re.IGNORECASE)
_PORT = re.compile(r"(?<=cast to integer value as ).+")
"""What the standard library takes for a port that is none: the start of a password with a slash in it."""
_HIDDEN = "•••"

Event = MutableMapping[str, Any]


def redact(logger: object, method: str, event: Event) -> Event:
    """Hide values under telling names, and passwords inside URLs, at any depth."""
    return {key: _hidden(key, value) for key, value in event.items()}


def _asked_by(logger: object, method: str, event: Event) -> Event:
    if request_id := REQUEST_ID.get():
        event["request_id"] = request_id.decode("latin-1")
    return event


def mask_url(text: str) -> str:
    """``redis://user:secret@host`` → ``redis://user:•••@host``, and so tokens and telling parameters."""
    if "://" in text:
        text = _LOGIN.sub(_without_login, text)
    return _PORT.sub(_HIDDEN, _PARAMETER.sub(rf"\1{_HIDDEN}", text))


def _without_login(found: re.Match[str]) -> str:
    user, colon, _ = found[0].partition(":")
    return f"{user}:{_HIDDEN}@" if colon else f"{_HIDDEN}@"


def _hidden(key: str, value: object) -> object:
    if REDACTED.search(key):
        return _HIDDEN
    if isinstance(value, str):
        return mask_url(value)
    if isinstance(value, dict):
        return {inner: _hidden(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(key, item) for item in value]
    return value


class _StandardError:
    """As it is when a line is written: a caller may have replaced it. On a full disk the line is lost, and no work."""

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


_STANDARD_ERROR = cast("TextIO", _StandardError())
_AS_OBJECTS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def _write_traceback(sink: TextIO, error: structlog.typing.ExcInfo) -> None:
    """For people. Without locals: among them are headers, and so keys."""
    sink.write("\n" + mask_url("".join(traceback.format_exception(*error)).rstrip()))


def configure(form: Literal["console", "json"] = "console", level: str = "info") -> None:
    """Send everything, the standard library's loggers too, to standard error: lines for people or JSON objects."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        _asked_by,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _AS_OBJECTS if form == "json" else structlog.processors.StackInfoRenderer(),
        redact,
    ]
    last: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_traceback)
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: structlog.WriteLogger(_STANDARD_ERROR),
        cache_logger_on_first_use=False,  # tests and the CLI configure more than once
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=last, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, getattr(logging, level.upper())))
