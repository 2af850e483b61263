"""What a connection may send before anybody was asked who it is, and what ends while a key does."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request
from pydantic import SecretStr

from lastro.core import local, wire
from lastro.core.access.keyring import Keyring
from lastro.core.app import create_app
from lastro.core.clock import now_ms
from lastro.core.keys import key_limit
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import start_server, wait_for
from lastro.core.testing.web import served

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["embedded"], indirect=True)]
PROMPT_SECONDS = 30.0
DONE: list[Any] = []

router = APIRouter()


@router.post("/acts")
async def act(request: Request) -> int:
    DONE.append(await request.json())
    return len(DONE)


@router.get("/waits")
async def waits() -> None:
    await asyncio.sleep(PROMPT_SECONDS)


@pytest.fixture
async def client(server: local.Server) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(redis_url=SecretStr(server.url), api_keys="on", requests_max=10)
    async with served(create_app({"sample": router}, settings)) as client:
        yield client


async def connected(client: httpx.AsyncClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(client.base_url.host, client.base_url.port)


def head(line: str, secret: str, *more: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "host: here", f"x-api-key: {secret}", *more, "", ""]).encode()


async def test_an_act_whose_body_comes_after_its_key_was_revoked_is_not_done(
    hub: Hub, client: httpx.AsyncClient
) -> None:
    ring = Keyring(hub)
    for announced in ("content-length: 6", "transfer-encoding: chunked"):
        key, secret = await ring.create("a leaver", ("sample:*",))
        done = len(DONE)
        reader, writer = await connected(client)
        writer.write(head("POST /sample/acts", secret, "content-type: application/json", announced))
        await asyncio.sleep(0.1)
        await ring.revoke(key.id)
        async with asyncio.timeout(PROMPT_SECONDS):
            assert b" 401 " in await reader.readline()
        writer.write(b'"late"' if "length" in announced else b'6\r\n"late"\r\n0\r\n\r\n')
        writer.close()
        assert len(DONE) == done


async def test_a_body_that_comes_in_drops_is_no_way_around_it(hub: Hub, client: httpx.AsyncClient) -> None:
    ring = Keyring(hub)
    key, secret = await ring.create("a leaver", ("sample:*",))
    reader, writer = await connected(client)
    writer.write(head("POST /sample/acts", secret, "content-type: application/json", "content-length: 1000"))
    await ring.revoke(key.id)

    async def drip() -> None:
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(PROMPT_SECONDS):
        assert b" 401 " in await reader.readline()
    dripping.cancel()
    writer.close()


@pytest.mark.parametrize("announced", ["content-length: 1", "transfer-encoding: chunked"])
async def test_a_stream_that_owes_a_body_ends_with_its_key_too(
    hub: Hub, client: httpx.AsyncClient, announced: str
) -> None:
    ring = Keyring(hub)
    key, secret = await ring.create("a leaver", ("core:read",))
    reader, writer = await connected(client)
    writer.write(head("GET /live", secret, announced))
    async with asyncio.timeout(PROMPT_SECONDS):
        assert b" 200 " in await reader.readline()
        await ring.revoke(key.id)
        while line := await reader.readline():
            if line == b"0\r\n":  # the last part: it ended in order
                break
        assert line == b"0\r\n"
    writer.close()


async def test_one_key_leaves_room_for_others(hub: Hub, client: httpx.AsyncClient) -> None:
    _, greedy = await Keyring(hub).create("greedy", ("core:read", "sample:*"))
    _, other = await Keyring(hub).create("other", ("core:read",))
    held = [asyncio.create_task(client.get("/sample/waits", headers={"x-api-key": greedy})) for _ in range(6)]
    try:
        answer = await next(asyncio.as_completed(held))
        assert (answer.status_code, answer.json()["code"]) == (429, "lastro.too_fast")
        assert (await client.get("/metrics", headers={"x-api-key": other})).status_code == 200
    finally:
        for task in held:
            task.cancel()


async def test_a_head_without_an_end_is_431(client: httpx.AsyncClient) -> None:
    reader, writer = await connected(client)
    writer.write(b"GET / HTTP/1.1\r\n" + b"x-long: %b\r\n" % (b"x" * 1_000) * 70)
    async with asyncio.timeout(PROMPT_SECONDS):
        answer = await reader.read()
    first, _, body = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body)["code"] == "lastro.head_too_large"
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n",
        b"GET /livez HTTP/1.1\r\nhost: he",
        b"GET /livez HTTP/1.1\r\nhost: here\r\n\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\nabc",
    ],
)
async def test_a_connection_that_sends_no_whole_request_is_closed(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(wire, "REQUEST_SECONDS", 0.3)
    reader, writer = await connected(client)
    writer.write(sent)
    async with asyncio.timeout(PROMPT_SECONDS):
        await reader.read()
    writer.close()


async def test_a_connection_that_asks_again_and_again_is_not_closed(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "REQUEST_SECONDS", 0.2)
    reader, writer = await connected(client)
    for _ in range(4):
        writer.write(b"GET /livez HTTP/1.1\r\nhost: here\r\n\r\n")
        async with asyncio.timeout(PROMPT_SECONDS):
            assert b" 200 " in await reader.readline()
            assert (await reader.readuntil(b"}")).endswith(b'{"status":"ok"}')
        await asyncio.sleep(0.3)
    writer.close()


async def test_a_page_of_another_site_changes_nothing_where_no_key_is_needed(server: local.Server) -> None:
    async with served(create_app({"sample": router}, Settings(redis_url=SecretStr(server.url)))) as client:

        async def posted(**headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return (await client.post("/sample/acts", json="a change", headers=named)).status_code

        own = str(client.base_url)
        for foreign in ({"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site", "origin": own}):
            assert await posted(**foreign) == 403
        for origin in ("https://elsewhere.example", "null", "http://["):
            assert await posted(origin=origin) == 403
        for ours in ({}, {"origin": own}, {"sec_fetch_site": "same-origin", "origin": own}, {"sec_fetch_site": "none"}):
            assert await posted(**ours) == 200
        assert (await client.get("/livez", headers={"sec-fetch-site": "cross-site"})).status_code == 200


async def test_a_limit_that_a_clock_ahead_has_left_holds_nobody_longer_than_a_full_bucket(
    hub: Hub, client: httpx.AsyncClient
) -> None:
    key, secret = await Keyring(hub).create("limited", ("core:read",), per_second=5, burst=2)
    await hub.write.set(key_limit(key.id), str((now_ms() + 86_400_000) * 1_000))

    async def let_in() -> bool:
        return (await client.get("/metrics", headers={"x-api-key": secret})).status_code == 200

    await wait_for(let_in, "the end of a full bucket")


async def test_a_limited_key_opens_while_memory_is_full(hub: Hub, client: httpx.AsyncClient) -> None:
    _, secret = await Keyring(hub).create("limited", ("core:read",), per_second=5, burst=2)
    await hub.write.config_set("maxmemory", "1")
    try:
        assert (await client.get("/metrics", headers={"x-api-key": secret})).status_code == 200
    finally:
        await hub.write.config_set("maxmemory", "0")


@pytest.mark.usefixtures("server")
async def test_where_the_store_is_stays_untold_while_it_is_away(tmp_path: Path) -> None:
    store = start_server(tmp_path)
    settings = Settings(redis_url=SecretStr(store.url), api_keys="on")
    async with served(create_app({"sample": router}, settings)) as client:
        store.stop()
        answer = await client.get("/metrics", headers={"x-api-key": "guessed"})
        assert (answer.status_code, answer.json()["code"]) == (503, "lastro.busy")
        assert "sock" not in answer.text
