"""Coupons over HTTP: what each answer means, and that the path in front answers as the documented route."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from lastro.core import local
from lastro.core.app import create_app
from lastro.core.errors import NotFound
from lastro.core.keys import beside
from lastro.core.plugins import installed
from lastro.core.settings import Settings
from lastro.core.testing.web import served
from lastro.coupons import keys
from lastro.coupons.api.attempt import issue
from lastro.coupons.engine import Coupons, events

from .conftest import opened, persisted

pytestmark = pytest.mark.anyio
ATTEMPTS = "/coupons/events/{}/issuances"
FUTURE = "2100-01-01T00:00:00Z"


async def attempt(client: httpx.AsyncClient, user: str, event: str = "e", **given: Any) -> httpx.Response:
    return await client.post(ATTEMPTS.format(event), headers={"X-User-Id": user, **given.pop("headers", {})}, **given)


async def test_a_winner_hears_201_then_200_with_the_same_bytes_and_the_others_409(
    client: httpx.AsyncClient, coupons: Coupons
) -> None:
    await opened(coupons, total=1)
    first, again, late = [await attempt(client, user) for user in ("ana", "ana", "bia")]
    assert (first.status_code, again.status_code, late.status_code) == (201, 200, 409)
    assert first.content == again.content
    assert first.headers["location"] == "/coupons/events/e/issuances/ana"
    assert late.json()["code"] == "coupons.sold_out"
    assert "retry-after" not in late.headers


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"user": ""}, 400),
        ({"user": "a b"}, 422),
        ({"user": "ana|1"}, 422),
        ({"user": "x" * 129}, 422),
        ({"user": "ana", "content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"user": "ana", "content": b"{}", "headers": {"content-type": "text/plain"}}, 400),
        ({"user": "ana", "content": b"{}", "headers": {"content-type": "application/jsonx"}}, 400),
        ({"user": "ana", "json": {"ticket": 7}}, 422),
        ({"user": "ana", "json": {"other": 7}}, 422),
        ({"user": "ana", "headers": {"idempotency-key": "k" * 129}}, 422),
        ({"user": "ana", "content": b"x" * 1_001}, 413),
        ({"user": "ana", "event": "nowhere"}, 404),
        ({"user": "ana", "event": "bad!"}, 404),
    ],
)
async def test_bad_input_is_told_and_writes_nothing(
    client: httpx.AsyncClient, coupons: Coupons, given: dict[str, Any], status: int
) -> None:
    await opened(coupons)
    answer = await attempt(client, **given)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await coupons.event("e")).issued == 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("GET /coupons/events/%00", 404),
        ("GET /coupons/events/e/issuances/%00", 422),
        ("GET /coupons/events/e/issuances/bia", 404),
        ("GET /coupons/issuances/%00", 422),
        ("GET /coupons/issuances/nobodys", 404),
        ("GET /coupons/issuances/nobodys/history", 404),
        ("POST /coupons/issuances/%00:cancel", 422),
        ("GET /coupons/codes/%00", 422),
        (f"GET /coupons/charges/{UUID(int=1)}", 404),
        ("GET /coupons/events/e/dead", 404),
        ("GET /coupons/events/e/dead?after=x", 422),
        ("GET /coupons/events/e/dead?after=%D9%A1-%D9%A1", 422),
        ("GET /coupons/events/e/dead/1-1", 404),
        ("POST /coupons/events/e/dead/x/replay", 422),
        ("POST /coupons/events/e/dead/1-1/replay", 404),
        ("DELETE /coupons/events/e/dead/1-1", 404),
    ],
)
async def test_a_path_that_names_nothing_is_told_so(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.request(*path.split())
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"] != NotFound.sentence(), "what is it that was not found?"


async def test_a_dead_letter_is_listed_shown_replayed_and_discarded(
    client: httpx.AsyncClient, coupons: Coupons
) -> None:
    await opened(coupons)
    assert (await client.get("/coupons/events/e/dead")).json() == []
    letter: dict[Any, Any] = {"reason": "invalid", "error": "no", "deliveries": 1, "first_ms": 1, "last_ms": 2}
    letter |= {"id": "1-1", "winner": b"\xff"}
    for _ in range(2):
        await coupons.hub.write.xadd(beside(keys.events("e"), "dead"), letter)
    first, second = (await client.get("/coupons/events/e/dead")).json()
    assert (first["error"], first["fields"]) == ("no", {"winner": "\\xff"})
    assert first["last_at"] == "1970-01-01T00:00:00.002Z"
    path = f"/coupons/events/e/dead/{first['id']}"
    assert (await client.get(path)).json() == first
    assert (await client.get(f"/coupons/events/e/dead?after={first['id']}")).json() == [second]
    assert (await client.post(f"{path}/replay")).json() == {"replayed": True}
    assert (await client.get(path)).json()["code"] == "coupons.unknown_letter"
    assert (await client.delete(f"/coupons/events/e/dead/{second['id']}")).status_code == 204
    assert (await client.get("/coupons/events/e/dead")).json() == []


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_a_body_that_asks_for_what_cannot_be_is_refused_by_name_and_changes_nothing(
    client: httpx.AsyncClient, coupons: Coupons
) -> None:
    """What is accepted here and refused by the database later would be an event whose winners nobody keeps."""
    await opened(coupons)
    before = await coupons.event("e")
    plan: dict[str, Any] = {"event_id": "f", "total": 1}
    for path, body, field in (
        ("events", plan | {"discount_cents": 10**12 + 1}, "discount_cents"),
        ("events", plan | {"room_per_second": 10**30}, "room_per_second"),
        ("events", plan | {"name": "a\0b"}, "name"),
        ("events", plan | {"starts_at": "0001-01-01T00:00:00+14:00"}, "starts_at"),
        ("events", plan | {"ends_at": "9999-12-31T23:59:59-14:00"}, "ends_at"),
        ("events", plan | {"valid_until": "1969-12-31T00:00:00Z"}, "valid_until"),
        ("events", plan | {"starts_at": FUTURE, "ends_at": "1970-01-01T00:00:00Z"}, "ends_at"),
        ("events/e:schedule", {"starts_at": "0001-01-01T00:00:00Z"}, "starts_at"),
        ("events/e:schedule", {"starts_at": FUTURE, "end_at": FUTURE}, "end_at"),
        ("events/e:resize", {"delta": 9_999_999}, "delta"),
        ("events/e:resize", {"delta": 1, "by": 1}, "by"),
        ("events/e/eligible", {"users": ["ana"], "user": "bia"}, "user"),
        ("issuances/i:reserve", {"order_ref": "o", "second": 1}, "second"),
        ("issuances/i:release", {"order_ref": "o", "order": 1}, "order"),
        ("issuances/i:spend", {"correlation_id": str(UUID(int=1)), "amount_cents": 1, "amount": 1}, "amount"),
        ("admin/reconciliations", {"event_id": "e", "aply": True}, "aply"),
        ("admin/recoveries", {"event_id": "e", "apply": False}, "apply"),
    ):
        refused = await client.post(f"/coupons/{path}", json=body, headers={"X-User-Id": "ana"})
        assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text
    assert await coupons.live() == ["e"]
    assert (await coupons.event("e")).version == before.version


async def test_who_is_too_fast_hears_429_and_when_to_come_back_and_others_notice_nothing(
    app: FastAPI, client: httpx.AsyncClient, coupons: Coupons
) -> None:
    app.state.coupons_edge.user.clock = lambda: 100.0
    await opened(coupons, total=9)
    answers = [await attempt(client, "ana") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 429]
    assert answers[4].headers["retry-after"] == "1"
    assert answers[0].headers["ratelimit-policy"] == '"user";q=4;w=4'
    assert answers[0].headers["ratelimit"] == '"user";r=3;t=1'
    assert (await attempt(client, "bia")).status_code == 201


async def test_an_event_has_its_life_over_http(client: httpx.AsyncClient) -> None:
    plan = {"event_id": "e", "total": 1, "name": "Launch"}
    assert (await client.post("/coupons/events", json=plan)).json()["state"] == "draft"
    early = await attempt(client, "ana")
    assert (early.status_code, early.json()["code"]) == (409, "coupons.not_open")
    assert (await client.post("/coupons/events/e:open")).json()["state"] == "open"
    for _ in range(2):
        grown = await client.post("/coupons/events/e:resize", json={"delta": 2}, headers={"Idempotency-Key": "k"})
    assert grown.json()["total"] == 3
    window = {"starts_at": "2100-01-01T00:00:00Z", "ends_at": "2100-01-02T00:00:00Z"}
    assert (await client.post("/coupons/events/e:schedule", json=window)).json()["state"] == "scheduled"
    assert (await attempt(client, "ana")).json()["retry_after_ms"] > 0
    assert (await client.post("/coupons/events/e:close")).json()["state"] == "closed"
    assert (await attempt(client, "bia")).status_code == 410
    assert (await client.get("/coupons/events/nowhere")).status_code == 404


async def test_a_coupon_has_its_life_over_http(client: httpx.AsyncClient, coupons: Coupons) -> None:
    await opened(coupons)
    given = (await attempt(client, "ana")).json()
    path = f"/coupons/issuances/{given['issuance_id']}"
    (mine,) = (await client.get(ATTEMPTS.format("e") + "/ana")).json()
    assert (mine["persistence"], mine["code"]) == ("pending", given["code"])
    assert (await client.post(f"{path}:redeem", json={"order_ref": "o1"})).status_code == 503
    await persisted(coupons)
    assert (await client.post(f"{path}:reserve", json={"order_ref": "o1"})).json()["status"] == "reserved"
    assert (await client.post(f"{path}:redeem", json={"order_ref": "o1"})).json()["status"] == "redeemed"
    assert (await client.post(f"{path}:redeem", json={"order_ref": "o2"})).status_code == 409
    assert (await client.post(f"{path}:release", json={"order_ref": "o1"})).json()["status"] == "issued"
    assert (await client.post(f"{path}:cancel")).json()["status"] == "cancelled"
    assert (await client.get(f"/coupons/codes/{given['code']}")).json()["issuance_id"] == given["issuance_id"]
    assert [one["act"] for one in (await client.get(f"{path}/history")).json()] == [
        "reserved",
        "redeemed",
        "released",
        "cancelled",
    ]
    (mine,) = (await client.get(ATTEMPTS.format("e") + "/ana")).json()
    assert (mine["persistence"], mine["status"]) == ("stored", "cancelled")
    assert (await client.get(ATTEMPTS.format("e") + "/bia")).status_code == 404
    report = (await client.post("/coupons/admin/reconciliations", json={"event_id": "e"})).json()
    assert report["findings"] == []
    assert (await client.post("/coupons/admin/recoveries", json={"event_id": "e"})).json()["epoch"] == 2
    assert (await client.get("/coupons/events/e/stats")).json()["by_status"] == {"cancelled": 1}


DOCUMENT = create_app(installed("lastro.routers", "coupons"), Settings()).openapi()
DOCUMENTED = DOCUMENT["paths"]["/coupons/events/{event_id}/issuances"]["post"]
"""What the OpenAPI document says of the path: the fuzz takes its headers and its body from there."""
PATTERN = {one["name"]: one["schema"] for one in DOCUMENTED["parameters"]}
BODY = DOCUMENTED["requestBody"]["content"]["application/json"]["schema"]
USERS = st.one_of(
    st.sampled_from(["ana", "bia", "caio"]),
    st.from_regex(PATTERN["X-User-Id"]["pattern"], fullmatch=True),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=140),
)
BODIES = st.one_of(
    st.just(b""),
    st.dictionaries(st.sampled_from([*BODY["properties"], "other"]), st.one_of(st.text(), st.integers())).map(
        lambda body: json.dumps(body).encode()
    ),
    st.binary(max_size=1_200),
)
KEYS = st.one_of(st.none(), st.sampled_from(["k1", "k2"]), st.text(st.characters(min_codepoint=33, max_codepoint=126)))
EVENTS = st.sampled_from(["plenty", "gone", "paused", "later", "over", "several", "named", "room", "nowhere", "b%21d"])
TYPES = st.sampled_from(["application/json", "application/json; charset=utf-8", "text/plain", ""])


def test_no_body_takes_a_field_that_it_does_not_name() -> None:
    """A misspelled field is heard of, not passed over: it might have been the end of an event."""
    bodies = [
        operation["requestBody"]
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    ]
    schemas = [body["content"]["application/json"]["schema"] for body in bodies]
    named = [
        DOCUMENT["components"]["schemas"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in schemas
    ]
    assert len(named) > 9
    assert all(one["additionalProperties"] is False for one in named)


@pytest.mark.parametrize("examples", [150, pytest.param(5_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_the_fast_path_answers_byte_for_byte_as_the_documented_route(
    app: FastAPI, coupons: Coupons, examples: int
) -> None:
    """Fuzzed: each request goes both ways, first one, then the other first; status, headers and body are the same."""
    for event, plan in {
        "plenty": {"total": 10_000},
        "gone": {"total": 0},
        "paused": {},
        "later": {"starts_ms": 4_000_000_000_000},
        "over": {"ends_ms": 1},
        "several": {"total": 10_000, "per_user_limit": 2},
        "named": {"eligible_only": True},
        "room": {"room_per_second": 1},
    }.items():
        await opened(coupons, event, **plan)  # type: ignore[arg-type]  # parts of a plan
    await events.pause(coupons, "paused")
    app.add_api_route("/routing/events/{event_id}/issuances", issue, methods=["POST"])
    async with served(app) as client:
        app.state.coupons_edge.user = None  # what is left of a client's rate differs from one request to the next

        async def both(event: str, user: str, key: str | None, content_type: str, pieces: list[bytes]) -> None:
            headers = {"x-user-id": user, **({"idempotency-key": key} if key is not None else {})}
            headers |= {"content-type": content_type} if content_type else {}
            told = []
            for prefix in ("/coupons", "/routing", "/coupons"):
                answer = await client.post(f"{prefix}/events/{event}/issuances", headers=headers, content=_sent(pieces))
                told.append(_comparable(answer))
            if told[0][0] == 201:  # the first of the three was the one that got it
                told[0] = told[2]
            assert told[0] == told[1] == told[2], (event, user, key, pieces)

        await _fuzzed(both, examples)
        new = [
            await client.post(f"{prefix}/events/plenty/issuances", headers={"x-user-id": f"new{n}"})
            for n, prefix in enumerate(("/coupons", "/routing"))
        ]
        assert [answer.status_code for answer in new] == [201, 201]
        assert [name for name, _ in new[0].headers.multi_items()] == [name for name, _ in new[1].headers.multi_items()]
        assert list(new[0].json()) == list(new[1].json())


def _sent(pieces: list[bytes]) -> bytes | AsyncIterator[bytes]:
    """With its length told before; in pieces without, as chunks."""

    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return chunks() if len(pieces) > 1 else b"".join(pieces)


async def _fuzzed(both: Any, examples: int) -> None:
    """Hypothesis is synchronous: it draws the requests, the loop sends them."""
    drawn: list[tuple[Any, ...]] = []

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(EVENTS, USERS, KEYS, TYPES, st.lists(BODIES, max_size=2)))
    def draw(request: tuple[Any, ...]) -> None:
        drawn.append(request)

    draw()
    for request in drawn:
        await both(*request)


def _comparable(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Without what differs from one request to the next by its nature: its id, the date, the time until a start."""
    own = {"x-request-id", "date"}
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in own]
    body = answer.content.replace(b"/routing/", b"/coupons/")  # the edge tells the path; both are of one length
    if b"retry_after_ms" in body:
        told = {name: value for name, value in answer.json().items() if name != "retry_after_ms"}
        body, headers = json.dumps(told).encode(), [h for h in headers if h[0] != "content-length"]
    return answer.status_code, headers, body


async def test_without_redis_the_answer_is_503_and_says_when_to_come_back(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    server = local.start(folder, durability="always")
    monkeypatch.setenv("LASTRO_COUPONS_DATABASE_URL", settings.database)
    app = create_app(installed("lastro.routers", "coupons"), Settings(redis_url=SecretStr(server.url)))
    async with served(app) as client:
        await client.post("/coupons/events", json={"event_id": "e", "total": 1, "open": True, "durability": "fsync"})
        server.kill()
        answer = await attempt(client, "ana")
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        server = local.start(folder, durability="always")
        assert (await attempt(client, "ana")).status_code == 201
    server.stop()


async def test_what_a_coupon_waits_for_is_what_the_server_does_now_not_what_it_did_when_the_event_was_made(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator turned the append-only file off: it would be a coupon that a crash takes back."""
    server = local.start(tmp_path / "s", durability="always")
    monkeypatch.setenv("LASTRO_COUPONS_DATABASE_URL", settings.database)
    app = create_app(installed("lastro.routers", "coupons"), Settings(redis_url=SecretStr(server.url)))
    async with served(app) as client:
        await client.post("/coupons/events", json={"event_id": "e", "total": 9, "open": True, "durability": "fsync"})
        told = []
        for mode in ("yes", "no"):
            await app.state.hub.write.config_set("appendonly", mode)
            told += [(await attempt(client, user + mode)).json().get("code", "") for user in ("ana", "bia", "ana")]
    assert all("-" in code for code in told[:3])
    assert told[3:] == ["coupons.outcome_unknown"] * 3
    server.stop()


async def test_a_client_is_told_apart_behind_a_proxy_that_adds_a_header_of_its_own(
    server: local.Server, coupons: Coupons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HAProxy's way: each proxy adds a line; together they are the chain."""
    told = {"DATABASE_URL": coupons.settings.database, "TRUSTED_PROXIES": "127.0.0.1"}
    for name, value in (told | {"ADDRESS_PER_SECOND": "0.01", "ADDRESS_BURST": "1"}).items():
        monkeypatch.setenv(f"LASTRO_COUPONS_{name}", value)
    await opened(coupons, total=9)
    app = create_app(installed("lastro.routers", "coupons"), Settings(redis_url=SecretStr(server.url)))
    async with served(app) as client:
        answers = []
        for user, address in (("ana", "203.0.113.1"), ("bia", "203.0.113.2"), ("caio", "203.0.113.1")):
            lines = [("x-forwarded-for", address), ("x-forwarded-for", "127.0.0.1"), ("x-user-id", user)]
            answers.append(await client.post(ATTEMPTS.format("e"), headers=lines))
    assert [answer.status_code for answer in answers] == [201, 201, 429]


async def test_a_limit_over_all_processes_holds_while_stock_remains(
    app: FastAPI, client: httpx.AsyncClient, coupons: Coupons
) -> None:
    """In Redis, GCRA; a process that knows the event to be sold out asks nobody."""
    object.__setattr__(app.state.coupons.settings, "limit_across", True)
    app.state.coupons_edge.user.per_second = 0.01
    await opened(coupons, total=9)
    for _ in range(4):
        assert (await attempt(client, "ana")).status_code < 300
        app.state.coupons_edge.user._empty_at.clear()  # as another process would not know of it
    answer = await attempt(client, "ana")
    assert answer.status_code == 429
    assert 50 < int(answer.headers["retry-after"]) <= 100
