"""What the OpenAPI document of the whole engine says: all that a caller has to know, and nothing that does not hold."""

import ast
import inspect
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from lastro.core import local
from lastro.core.access.gate import PROBES
from lastro.core.app import create_app
from lastro.core.docs import MINUTE
from lastro.core.plugins import installed
from lastro.core.settings import Settings
from lastro.core.testing.web import served
from lastro.ledger.api import read

DOCUMENT: dict[str, Any] = create_app(installed("lastro.routers"), Settings()).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
ISPB = "99990001"
LISTS = ("GET /ledger/accounts/{account_id}/transfers", "GET /ledger/accounts/{account_id}/balances")
"""Of an account that is not there TigerBeetle answers an empty list, and so do we."""
EMPTY = {"POST /payments"}
"""Answered without a body."""
MALFORMED = {400, 413, 415, 422}
PROBLEM = {"$ref": "#/components/schemas/Problem"}


def whole(schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    named: dict[str, Any] = DOCUMENT["components"]["schemas"]
    return named[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def examples() -> Iterator[tuple[str, str, Any]]:
    """Route, media type, body: every one that stands in the document, those of a schema or of its fields included."""
    for route, operation in OPERATIONS.items():
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            schema = whole(content["schema"])
            fields = {name: whole(told).get("examples", [])[:1] for name, told in schema.get("properties", {}).items()}
            if "example" in content:
                yield route, media, content["example"]
            elif "items" in schema:
                yield route, media, schema["items"]["examples"]
            elif "examples" in schema:
                yield route, media, schema["examples"][0]
            elif all(fields.get(name) for name in schema.get("required", ["?"])):
                yield route, media, {name: given[0] for name, given in fields.items() if given}


EXAMPLES = list(examples())


@pytest.mark.parametrize("route", OPERATIONS)
def test_a_route_says_how_it_refuses_and_what_it_takes(route: str) -> None:
    operation = OPERATIONS[route]
    if route.split()[1] in PROBES:
        return
    refusals = {status: told for status, told in operation["responses"].items() if status >= "400"}
    assert "503" in refusals
    for told in refusals.values():
        assert told["description"]
        assert told["content"]["application/problem+json"]["schema"] == PROBLEM
    if "{" in route and not route.startswith(("GET /pix/out", "POST /pix/participants", "DELETE /pix/out", *LISTS)):
        assert "404" in refusals, "what the path names may not be there"
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = whole(content["schema"])
        assert {"413", "422"} <= refusals.keys()
        assert whole(schema.get("items", schema)).get("properties") or (schema["type"], "example" in content) == (
            "string",
            True,
        )


@pytest.mark.parametrize("route", OPERATIONS)
def test_a_route_says_what_it_answers(route: str) -> None:
    """A JSON answer by the names of its members; `lastro.core.testing.web` holds each that a test gets against it."""
    for status, told in OPERATIONS[route]["responses"].items():
        if status in {"200", "201"} and not route.startswith("DELETE") and route not in EMPTY:
            assert told["content"]
        for content in told.get("content", {}).values():
            found = whole(content["schema"])
            for one in found["items"].get("anyOf", [found["items"]]) if "items" in found else [found]:
                assert whole(one).get("properties") or whole(one)["type"] == "string", f"{status} says nothing"


def test_no_two_forms_share_a_name() -> None:
    """FastAPI would tell one from the other by where its class is."""
    assert not [name for name in DOCUMENT["components"]["schemas"] if "__" in name or "-" in name]


def test_a_body_of_fields_that_nobody_can_guess_has_an_example() -> None:
    shown = {route for route, _, _ in EXAMPLES}
    asked = {route for route, operation in OPERATIONS.items() if "requestBody" in operation}
    assert asked <= shown


def test_a_query_is_read_by_its_declared_parameters_but_for_the_ledgers_filters() -> None:
    """Those are documented by hand, and its own tests send each."""
    for route, operation in OPERATIONS.items():
        for one in operation.get("parameters", []):
            assert one["schema"], f"{route} {one['name']}"
    undeclared = {
        name.__name__
        for router in installed("lastro.routers").values()
        for route in router.routes
        if (name := getattr(route, "endpoint", None)) and "query_params" in _attributes(name)
    }
    assert not undeclared
    assert "query_params" in _attributes(read)


def _attributes(of: Any) -> set[str]:
    tree = ast.parse(inspect.cleandoc(inspect.getsource(of)))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.fixture
async def web(server: local.Server) -> AsyncIterator[httpx.AsyncClient]:
    async with served(create_app(installed("lastro.routers"), Settings(redis_url=server.url))) as client:
        yield client


@pytest.mark.anyio
@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_each_example_is_taken_as_it_is(web: httpx.AsyncClient) -> None:
    """Perhaps not done, for want of funds or of what it names; but not refused for its form, nor for its time."""
    assert len(EXAMPLES) > 12
    for route, media, body in EXAMPLES:
        method, path = route.split()
        content = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        answer = await web.request(
            method, re.sub(r"\{\w+\}", ISPB, path), content=content, headers={"content-type": media, "x-user-id": "ana"}
        )
        assert answer.status_code not in MALFORMED, f"{route}: {answer.text}"
    assert {"POST /pix/payments", "POST /pix/messages", "POST /payments"} <= {route for route, _, _ in EXAMPLES}


def test_an_example_is_of_the_minute_in_which_it_is_read() -> None:
    told = str(create_app(installed("lastro.routers", "pix"), Settings()).openapi())
    assert MINUTE not in told
    assert f"E99990001{datetime.now(UTC):%Y%m%d}" in told
