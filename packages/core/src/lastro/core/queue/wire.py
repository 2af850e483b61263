"""Messages as brokers carry them: a JSON object of texts, which any program reads; what is no text is in base64."""

import base64
import binascii
import json
from collections.abc import Sequence

from lastro.core.errors import Busy, Invalid

from . import Value

BASE64 = "base64"


class BrokerAway(Busy):
    """The broker did not take it: {reason}. It may have: asked again, it may be there twice."""

    code = "queue.broker_away"


def packed(flat: Sequence[Value]) -> str:
    """``["a", 1]`` → ``{"a": "1"}``, ASCII alone, so that no broker minds a character."""
    raw = [value if isinstance(value, bytes) else str(value).encode() for value in flat]
    return json.dumps({_told(name): _told_value(value) for name, value in zip(raw[::2], raw[1::2], strict=True)})


def unpacked(body: str | bytes) -> dict[bytes, bytes]:
    """And back; what somebody else wrote there and is no such object is one field, ``body``."""
    try:
        told = json.loads(body)
        return {name.encode(): _value(value) for name, value in told.items()}
    except (ValueError, AttributeError, Invalid):
        return {b"body": body.encode() if isinstance(body, str) else body}


def key_of(flat: Sequence[Value], name: str) -> bytes | None:
    """The value of the field that orders messages."""
    for at in range(0, len(flat), 2):
        if flat[at] in (name, name.encode()):
            value = flat[at + 1]
            return value if isinstance(value, bytes) else str(value).encode()
    return None


def _told(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise Invalid(field="fields", reason="a broker takes names of fields that are text") from None


def _told_value(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {BASE64: base64.b64encode(value).decode()}


def _value(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and set(value) == {BASE64}:
        try:
            return base64.b64decode(value[BASE64], validate=True)
        except (binascii.Error, TypeError) as error:
            raise Invalid(field=BASE64, reason=str(error)) from None
    return json.dumps(value).encode()
