"""What the OpenAPI document says of keys: how one is sent, which scope each route needs, and how it is refused."""

from typing import Any

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
INPUT = "422"
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


def _describe(operation: Document, method: str, path: str, gate: Gate) -> None:
    answers: Document = operation.setdefault("responses", {})
    if answers.get(INPUT, {}).get("description") == FASTAPIS:
        answers[INPUT] = _refusal("The input is wrong; the problem names the field.")
    if gate.mode == "off":
        return
    if path in PROBES:
        operation["security"] = []
        return
    scope = _scope(method, path, gate)
    operation["security"] = [{scheme: [scope]} for scheme in SCHEMES]
    if gate.mode == "auto":
        operation["security"].append({})  # this machine needs no key
    for status, why in REFUSALS.items():
        own = answers.get(status, {}).get("description")  # the domain has a reason of its own
        answers[status] = _refusal(f"{own}; or: {why}" if own else why)


def _scope(method: str, path: str, gate: Gate) -> str:
    domain = gate.domains.get(path.split("/", 2)[1], CORE)
    right = gate.routes.get(domain, Access()).right(method, path)
    return right if right == "admin" else f"{domain}:{right}"


def _refusal(why: str) -> Document:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": why, "content": {"application/problem+json": {"schema": schema}}}
