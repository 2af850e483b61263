"""What every service does, whatever its domain."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, SecretStr
from starlette.types import Message

from lastro.core import docs, local
from lastro.core.app import create_app
from lastro.core.errors import Refused, TooFast, field_of
from lastro.core.logging import configure
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import start_server, wait_for
from lastro.core.testing.web import served

pytestmark = pytest.mark.anyio


class Given(BaseModel):
    """A body."""

    amount_cents: int


class Taken(Refused):
    """The entry {id} is taken."""

    code = "sample.taken"


router = APIRouter()


@router.post("/entries")
async def entries(given: Given) -> Given:
    return given


@router.get("/page")
async def page(count: int = 1) -> int:
    return count


@router.get("/peer")
async def peer(request: Request) -> str:
    return request.client.host if request.client else ""


@router.get("/taken", responses=docs.refuses(Taken))
async def taken() -> None:
    raise Taken(id="e1")


@router.get("/fast")
async def fast() -> None:
    raise TooFast(retry_after_seconds=7)


@router.get("/crash")
async def crash() -> None:
    raise RuntimeError("hunter2")


@router.get("/slow")
async def slow(request: Request) -> None:
    await request.app.state.held.wait()


@router.post("/raw")
async def raw(request: Request) -> int:
    return len(await request.body())


@pytest.fixture
async def client(server: local.Server) -> AsyncIterator[httpx.AsyncClient]:
    async with served(application(server)) as connected:
        yield connected


def application(server: local.Server) -> FastAPI:
    """One domain, with narrow bounds."""
    app = create_app({"sample": router}, Settings(redis_url=SecretStr(server.url), body_bytes_max=1000, requests_max=2))
    app.state.held = asyncio.Event()
    return app


async def test_a_test_s_server_believes_no_header_about_its_client_as_the_services_do(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get("/sample/peer", headers={"x-forwarded-for": "203.0.113.9"})).json() == "127.0.0.1"


async def test_an_application_uses_the_hub_of_its_process_and_leaves_it_open(hub: Hub) -> None:
    """A process that cannot reach its store says so once, before it serves: not by a start that fails half way."""
    app = create_app({"sample": router}, Settings(redis_url=SecretStr("unix:///nowhere")))
    app.state.hub = hub
    async with served(app) as client:
        assert (await client.get("/readyz")).json()["redis"] == "ok"
    assert await hub.read.ping()


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/live"])
async def test_head_is_answered_as_get_without_a_body(client: httpx.AsyncClient, path: str) -> None:
    """By all that core serves, also where GET never ends."""
    bare = await client.head(path, timeout=10)
    async with client.stream("GET", path) as whole:
        assert (bare.status_code, bare.content) == (whole.status_code, b"") == (200, b"")
        assert bare.headers["content-type"] == whole.headers["content-type"]


async def test_an_error_is_a_problem_document_with_its_code_and_what_it_is_about(client: httpx.AsyncClient) -> None:
    answer = await client.get("/sample/taken")
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert answer.json() == {
        "type": "urn:lastro:problem:sample.taken",
        "title": "Conflict",
        "status": 409,
        "code": "sample.taken",
        "detail": "The entry e1 is taken.",
        "instance": "/sample/taken",
        "id": "e1",
    }


async def test_bad_input_names_the_field(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sample/entries", json={"amount_cents": "much"})
    assert (answer.status_code, answer.json()["code"]) == (422, "lastro.invalid")
    assert answer.json()["field"] == "amount_cents"
    assert (await client.post("/sample/entries", content=b"{")).status_code == 422


async def test_a_field_is_named_as_it_was_written_and_what_is_wrong_in_words_of_json(client: httpx.AsyncClient) -> None:
    for request, told in (
        ({"json": {}}, ("amount_cents", "is missing")),
        ({"json": [1]}, ("body", "must be an object")),
        ({}, ("body", "is missing")),
        ({"content": b'{"amount_cents": 1}', "headers": {"content-type": "text/plain"}}, ("content-type", "must be")),
    ):
        refused = (await client.post("/sample/entries", **request)).json()
        assert (refused["field"], refused["reason"][: len(told[1])]) == told
    refused = (await client.get("/sample/page", params={"count": "many"})).json()
    assert refused["field"] == "count"


@pytest.mark.parametrize(
    ("sentence", "field"),
    [
        ("Object missing required field `payer`", "payer"),
        ("Object contains unknown field `payor`", "payor"),
        ("Expected `str`, got `int` - at `$.amount`", "amount"),
        ("Object missing required field `id` - at `$.of`", "id"),
        ("JSON is malformed: trailing characters (byte 3)", "body"),
    ],
)
def test_what_a_decoder_complains_of_has_a_name(sentence: str, field: str) -> None:
    assert field_of(ValueError(sentence)) == field


async def test_the_document_says_how_every_route_refuses(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"413", "422", "503"} <= paths["/sample/entries"]["post"]["responses"].keys()
    told = paths["/sample/taken"]["get"]["responses"]["409"]
    assert told["description"] == "`sample.taken`: The entry {id} is taken."
    assert told["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


async def test_whoever_is_too_fast_hears_when_to_come_again(client: httpx.AsyncClient) -> None:
    answer = await client.get("/sample/fast")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


async def test_unknown_paths_and_methods_are_problem_documents_too(client: httpx.AsyncClient) -> None:
    for answer in (await client.get("/nowhere"), await client.put("/sample/taken")):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


async def test_a_crash_tells_nothing_of_what_is_inside(client: httpx.AsyncClient) -> None:
    answer = await client.get("/sample/crash")
    assert (answer.status_code, answer.json()["code"]) == (500, "lastro.error")
    assert "hunter2" not in answer.text


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_crash(server: local.Server) -> None:
    """It would count as ours, and raise an alarm that nothing of ours can end."""
    app = application(server)
    coming: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    told = []

    async def receive() -> Message:
        return next(coming)

    async def send(message: Message) -> None:
        told.append(message)

    about = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/sample/raw",
        "query_string": b"",
        "headers": [],
    }
    async with served(app):
        await app({**about, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1)}, receive, send)
    assert told[0]["status"] == 499


async def test_a_body_too_large_is_refused_with_and_without_a_length(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    for body in (b"x" * 3000, chunks()):
        answer = await client.post("/sample/raw", content=body)
        assert (answer.status_code, answer.json()["code"]) == (413, "lastro.too_large")
    assert (await client.post("/sample/raw", content=b"x" * 1000)).json() == 1000


async def test_beyond_its_bound_the_service_sheds_load_and_still_says_that_it_lives(server: local.Server) -> None:
    app = application(server)
    async with served(app) as client:

        async def refused() -> httpx.Response | None:
            answer = await client.get("/sample/taken")
            return answer if answer.status_code == 503 else None

        slow_ones = [asyncio.create_task(client.get("/sample/slow")) for _ in range(2)]
        shed = await wait_for(refused, "a refusal")
        assert (shed.headers["retry-after"], shed.json()["code"]) == ("1", "lastro.busy")
        assert (await client.get("/livez")).status_code == 200
        app.state.held.set()
        assert [(await slow_one).status_code for slow_one in slow_ones] == [200, 200]
        assert (await client.get("/sample/taken")).status_code == 409


async def test_a_request_keeps_its_id_or_gets_one(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez", headers={"x-request-id": "r1"})).headers["x-request-id"] == "r1"
    assert len((await client.get("/livez")).headers["x-request-id"]) == 32


async def test_what_is_logged_of_a_request_carries_its_id(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("json", "info")
    for name in ("r1", "r2"):
        await client.get("/sample/crash", headers={"x-request-id": name})
    structlog.get_logger().info("sample.done")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    ids = [
        (event["event"], event.get("request_id"))
        for event in events
        if event["event"] in {"http.crashed", "sample.done"}
    ]
    assert ids == [("http.crashed", "r1"), ("http.crashed", "r2"), ("sample.done", None)]


async def test_ready_says_which_dependency_is_missing_and_live_stays_live() -> None:
    with TemporaryDirectory(prefix="lastro-") as folder:
        store = start_server(Path(folder))
        async with served(application(store)) as client:
            assert (await client.get("/readyz")).json()["redis"] == "ok"
            store.kill()
            missing = await client.get("/readyz")
            assert (missing.status_code, missing.json()["status"]) == (503, "missing")
            assert missing.json()["redis"] != "ok"
            assert (await client.get("/livez")).status_code == 200
            again = start_server(Path(folder))
            assert (await client.get("/readyz")).status_code == 200
            again.stop()


async def test_metrics_and_the_description_of_the_api_are_served(client: httpx.AsyncClient) -> None:
    assert "lastro_http_requests_total" in (await client.get("/metrics")).text
    assert "/sample/entries" in (await client.get("/openapi.json")).json()["paths"]


async def test_the_page_of_the_routes_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == len(docs.KINDS)
    for part in parts:
        assert (await client.get(f"/{part}")).status_code == 200, part
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert (await client.get("/docs/other.js")).status_code == 404
