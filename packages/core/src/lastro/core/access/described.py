"""What the OpenAPI document says of all routes: the key and scope that each needs, and how all of us refuse."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from lastro.core.docs import MINUTE, refusal

from .gate import PROBES, Gate
from .model import CORE
from .routes import Access

Document = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The key that `lastro keys create` gave."},
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same key."},
    "basic": {"type": "http", "scheme": "basic", "description": "For browsers: any name, the key as password."},
}
REFUSALS = {
    "401": "No key, or one that opens nothing.",
    "403": "The key does not open this: another scope, or narrowed to another's.",
    "429": "The key has a limit and is too fast; `Retry-After` says when.",
}
INPUT = {
    "413": "The body is too large.",
    "422": "The input is wrong; the problem names the `field` as it was sent.",
}
BUSY = {"503": "Too much at once, or the store is away: ask again after `Retry-After`."}
FASTAPIS = "Validation Error"
"""What FastAPI says of 422, in a form that none of our answers has."""
PROBLEM: Document = {
    "type": "object",
    "description": "RFC 9457. What the refusal is about stands beside these members.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
    },
    "additionalProperties": True,
}


def described(document: Document, gate: Gate) -> Document:
    """FastAPI's document, with what the gate asks of each route and the form in which all of us refuse."""
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    schemas["Problem"] = PROBLEM
    for replaced in ("HTTPValidationError", "ValidationError"):
        schemas.pop(replaced, None)
    if gate.mode != "off":
        parts["securitySchemes"] = SCHEMES
    for path, item in document["paths"].items():
        for method in item.keys() & set(METHODS):
            _describe(item[method], method.upper(), path, gate)
    return document


def current(document: Document) -> Document:
    """The same, with examples that are of this minute."""
    now = datetime.now(UTC).strftime("%Y%m%d%H%M")
    fresh: Document = msgspec.json.decode(msgspec.json.encode(document).replace(MINUTE.encode(), now.encode()))
    return fresh


def _describe(operation: Document, method: str, path: str, gate: Gate) -> None:
    answers: Document = operation.setdefault("responses", {})
    if answers.get("422", {}).get("description") == FASTAPIS:
        del answers["422"]
    if path in PROBES:
        operation.update({} if gate.mode == "off" else {"security": []})
        return
    common = dict(BUSY)
    if "requestBody" in operation:
        common |= INPUT
    elif operation.get("parameters"):
        common["422"] = INPUT["422"]
    if gate.mode != "off":
        common |= REFUSALS
        scope = _scope(method, path, gate)
        operation["security"] = [{scheme: [scope]} for scheme in SCHEMES]
        if gate.mode == "auto":
            operation["security"].append({})  # this machine needs no key
    for status in sorted(common.keys() | {one for one in answers if one >= "400"}):
        own = answers.pop(status, {}).get("description")  # the domain has a reason of its own
        answers[status] = refusal("; or: ".join(filter(None, (own, common.get(status)))))


def _scope(method: str, path: str, gate: Gate) -> str:
    domain = gate.domains.get(path.split("/", 2)[1], CORE)
    right = gate.routes.get(domain, Access()).right(method, path)
    return right if right == "admin" else f"{domain}:{right}"
