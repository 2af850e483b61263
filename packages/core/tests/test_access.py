"""Keys: made once, narrowed, rotated side by side, revoked within a second; and the gate in front of all routes."""

import asyncio
import json
import time
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from lastro.core import local
from lastro.core.access import bounds, keyring, refuse_exposed
from lastro.core.access.gate import Gate
from lastro.core.access.keyring import FRESH_SECONDS, ChangedMeanwhile, Keyring, RotatedAlready, TooManyKeys, UnknownKey
from lastro.core.access.model import checked
from lastro.core.access.routes import Access
from lastro.core.app import App, create_app
from lastro.core.cli import main
from lastro.core.cli.chaos.proxy import Proxy
from lastro.core.errors import Busy, Forbidden, Invalid, LastroError, Misconfigured, TooFast, Unauthorized
from lastro.core.keys import API_KEYS
from lastro.core.redis import Hub, connect_url
from lastro.core.settings import Environment, Settings
from lastro.core.testing import standstill, start_server, wait_for
from lastro.core.testing.web import served

pytestmark = pytest.mark.anyio
one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
"""For rules that do not depend on which server it is."""

ROUTES = {
    "jars": Access(
        bound="jar",
        value=r"\w+",
        named=("GET /jars/{jar}", "POST /jars/{jar}:tip"),
        inside=("GET /jars/tips/{}",),
        reads=("POST /jars/search",),
        admin=("DELETE /jars/all",),
    )
}
OPENED = {
    "jars:read": {"GET /jars/a", "GET /jars", "POST /jars/search", "GET /jars/tips/1"},
    "jars:write": {"POST /jars/a:tip"},
    "jars:*": {"GET /jars/a", "GET /jars", "POST /jars/a:tip", "POST /jars/search", "GET /jars/tips/1"},
    "jars:* jars:jar=a": {"GET /jars/a", "POST /jars/a:tip", "GET /jars/tips/1"},
    "jars:* jars:jar=b jars:jar=c": {"GET /jars/tips/1"},
    "core:read": {"GET /metrics", "GET /", "OPTIONS *", "HEAD *"},
    "admin": {
        "GET /jars/a", "GET /jars", "POST /jars/a:tip", "POST /jars/search", "GET /jars/tips/1", "DELETE /jars/all",
        "GET /metrics", "GET /", "OPTIONS *", "HEAD *",
    },
}  # fmt: skip
ALWAYS = {"GET /livez", "GET /openapi.json"}
PROMPT_SECONDS = 30.0  # the promise is a second; a busy machine takes longer, and a stream that nothing ends for ever


def asked(said: str, secret: str, hub: Hub) -> dict[str, Any]:
    """An ASGI scope, as far as the gate looks."""
    method, path = said.split(" ")
    app = type("App", (), {"state": type("State", (), {"hub": hub})})
    return {"app": app, "method": method, "path": path, "headers": [], "server": ("10.0.0.1", 80), "key": secret}


async def opens(gate: Gate, said: str, secret: str, hub: Hub) -> bool:
    """Whether this key opens that."""
    try:
        await gate.admit(asked(said, secret, hub), (b"", secret.encode()))
    except (Unauthorized, Forbidden):
        return False
    return True


@one_server
@pytest.mark.parametrize("scopes", OPENED)
async def test_a_key_opens_what_its_scopes_say_and_nothing_else(hub: Hub, scopes: str) -> None:
    _, secret = await Keyring(hub).create("a test", tuple(scopes.split()))
    gate = Gate("on", {"jars": "jars"}, ROUTES)
    for said in set.union(*OPENED.values(), ALWAYS):
        assert await opens(gate, said, secret, hub) == (said in OPENED[scopes] | ALWAYS), said


@one_server
async def test_a_route_that_nobody_thought_of_is_closed_to_a_narrowed_key(hub: Hub) -> None:
    _, secret = await Keyring(hub).create("a test", ("jars:*", "jars:jar=a"))
    gate = Gate("on", {"jars": "jars"}, ROUTES)
    for said in ("GET /jars/a/new", "PUT /jars/a", "GET /jars/a/", "GET /jars/tips/1/2"):
        assert not await opens(gate, said, secret, hub), said


@one_server
async def test_a_newline_behind_a_path_which_its_route_would_not_mind_opens_nothing(
    server: local.Server, hub: Hub
) -> None:
    _, secret = await Keyring(hub).create("scrapes", ("core:read",))
    app = create_app({}, Settings(redis_url=SecretStr(server.url), api_keys="on"))
    assert isinstance(app, App)
    app.get("/jars")(lambda: "what is inside")
    app.gate.domains["jars"] = "jars"  # as a domain's root router does
    async with served(app) as client:
        headers = {"x-api-key": secret}
        assert (await client.get("/metrics", headers=headers)).status_code == 200
        for path, status in {"/jars": 403, "/jars%0A": 404, "/jars/a%0A": 404, "/metrics%0A": 404}.items():
            assert (await client.get(path, headers=headers)).status_code == status, path


async def test_the_store_has_no_secret_and_a_secret_of_another_store_opens_nothing(hub: Hub) -> None:
    ring = Keyring(hub)
    key, secret = await ring.create("a test", ("admin",))
    stored: Any = await hub.read.hgetall(API_KEYS)
    assert secret.encode() not in b"".join(stored.values())
    assert (await ring.find(secret.encode())) is not None
    for wrong in (b"", secret[:-1].encode(), f"lastro_{key.id}_guess".encode()):
        assert await ring.find(wrong) is None


async def test_two_secrets_are_valid_while_a_key_is_rotated_and_one_afterwards(hub: Hub) -> None:
    ring = Keyring(hub)
    key, old = await ring.create("a test", ("admin",))
    _, new = await ring.rotate(key.id, overlap_ms=60_000)
    fresh = Keyring(hub)
    assert await fresh.find(old.encode())
    assert await fresh.find(new.encode())
    with pytest.raises(RotatedAlready):
        await ring.rotate(key.id, overlap_ms=60_000)
    key, old = await ring.create("another", ("admin",))
    _, new = await ring.rotate(key.id, overlap_ms=50)

    async def over() -> bool:
        return await fresh.find(old.encode()) is None

    await wait_for(lambda: fresh.find(new.encode()), "the new key")
    await wait_for(over, "the end of the overlap")
    assert await fresh.find(new.encode())
    _, newest = await ring.rotate(key.id, overlap_ms=0)
    assert await Keyring(hub).find(new.encode()) is None
    assert await Keyring(hub).find(newest.encode())


@one_server
async def test_an_expired_key_opens_nothing_before_anybody_looks_again(hub: Hub) -> None:
    ring = Keyring(hub)
    async with standstill() as lost:
        _, secret = await ring.create("a test", ("admin",), life_ms=300)
        assert await ring.find(secret.encode()) or lost.seconds > 0.1
        asked = ring._read_at

        async def over() -> bool:
            return await ring.find(secret.encode()) is None

        await wait_for(over, "its end")
        assert ring._read_at == asked or lost.seconds > 0.1


async def asked_so_far(hub: Hub) -> int:
    found: Any = await hub.read.info("commandstats")
    nodes = [found] if "cmdstat_hgetall" in found else list(found.values())
    return sum(int(node["cmdstat_hgetall"]["calls"]) for node in nodes)


@one_server
async def test_a_process_asks_the_store_at_most_twice_in_the_bound_and_forgets_a_revoked_key_within_it(
    hub: Hub,
) -> None:
    ring = Keyring(hub)
    key, secret = await ring.create("a test", ("admin",))

    assert await ring.find(secret.encode())
    before, begun = await asked_so_far(hub), time.monotonic()
    for _ in range(1000):
        assert await ring.find(secret.encode())
        assert await ring.find(b"somebody's guess") is None
    assert await asked_so_far(hub) - before <= 1 + (time.monotonic() - begun) * 2 / FRESH_SECONDS
    await ring.revoke(key.id)
    revoked = time.monotonic()

    async def forgotten() -> bool:
        return await ring.find(secret.encode()) is None

    async with standstill() as lost:
        await wait_for(forgotten, "the revocation")
        assert time.monotonic() - revoked - lost.seconds < FRESH_SECONDS + 0.1
    with pytest.raises(UnknownKey):
        await ring.revoke(key.id)


async def test_of_two_who_change_a_key_at_once_one_is_told(hub: Hub) -> None:
    ring = Keyring(hub)
    key, _ = await ring.create("a test", ("admin",))
    before = await ring._record(key.id)
    await ring.rotate(key.id, overlap_ms=0)
    with pytest.raises(ChangedMeanwhile):
        await ring._put(key.id, before, b"")


@one_server
async def test_there_is_a_bound_to_keys(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "KEYS_MAX", 2)
    ring = Keyring(hub)
    for _ in range(2):
        key, _ = await ring.create("a test", ("admin",))
    with pytest.raises(TooManyKeys):
        await ring.create("a test", ("admin",))
    await ring.rotate(key.id, overlap_ms=0)
    await ring.revoke(key.id)
    await ring.create("a test", ("admin",), life_ms=1)

    async def made() -> bool:
        """In the place of the one that has expired."""
        try:
            await ring.create("a test", ("admin",))
        except TooManyKeys:
            return False
        return True

    await wait_for(made, "the end of a key")
    assert len(await ring.keys()) == 2


@one_server
async def test_a_key_with_a_limit_is_held_to_it_over_all_processes(hub: Hub) -> None:
    _, secret = await Keyring(hub).create("a test", ("admin",), per_second=5, burst=10)
    _, other = await Keyring(hub).create("another", ("admin",))
    gates = [Gate("on", {}, {}) for _ in range(2)]
    passed, begun = 0, time.monotonic()
    for number in range(30):
        with suppress(TooFast):
            await gates[number % 2].admit(asked("GET /", secret, hub), (f"Bearer {secret}".encode(), b""))
            passed += 1
    assert 10 <= passed <= 11 + 5 * (time.monotonic() - begun)
    await Gate("on", {}, {}).admit(asked("GET /", other, hub), (b"", other.encode()))


@pytest.mark.parametrize(
    ("scopes", "why"),
    [
        ((), "1 to"),
        (("jars",), "is none of"),
        (("tips:read",), "is none of"),
        (("jars:drink",), "is none of"),
        (("jars:read", "jars:lid=a"), "jars:jar="),
        (("jars:read", "jars:jar=a/b"), "jars:jar="),
        (("jars:jar=a",), "narrows nothing"),
        (("core:read", "core:jar=a"), "no narrower"),
    ],
)
def test_a_scope_that_means_nothing_is_refused_with_what_there_is(scopes: tuple[str, ...], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        checked(scopes, ROUTES)


def test_keys_are_made_listed_rotated_and_revoked_at_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str) -> Any:
        main(["keys", *words, "--json"])
        return json.loads(capsys.readouterr().out)

    store = start_server(tmp_path)
    try:
        monkeypatch.setenv("REDIS_URL", store.url)
        made = told("create", "the shop", "--scope", "core:read", "--per-second", "10")
        assert made["secret"].startswith(f"lastro_{made['id']}_")
        (listed,) = told("list")
        assert (listed["name"], listed["scopes"], listed["burst"]) == ("the shop", ["core:read"], 10)
        assert "secret" not in listed
        turned = told("rotate", made["id"])
        assert turned["secret"] != made["secret"]
        assert [bool(one["expires_at"]) for one in turned["secrets"]] == [True, False]
        main(["keys", "list"])
        assert "two secrets" in capsys.readouterr().out
        assert told("revoke", made["id"])["id"] == made["id"]
        assert told("list") == []
    finally:
        store.stop()


router = APIRouter()


@router.get("/seen")
async def seen(request: Request) -> bool:
    return bounds(request.scope, "sample").hold("a")


@one_server
async def test_a_key_is_taken_as_bearer_header_or_password_and_a_page_of_another_site_cannot_use_it(
    server: local.Server, hub: Hub
) -> None:
    _, secret = await Keyring(hub).create("a test", ("admin",))
    basic = {"authorization": f"Basic {b64encode(f'me:{secret}'.encode()).decode()}"}
    settings = Settings(redis_url=SecretStr(server.url), api_keys="on")
    async with served(create_app({"sample": router}, settings)) as client:
        refused = await client.get("/sample/seen")
        assert (refused.status_code, refused.json()["code"]) == (401, "access.no_key")
        assert "Bearer" in refused.headers["www-authenticate"]
        for headers in ({"authorization": f"Bearer {secret}"}, {"x-api-key": secret}, basic):
            assert (await client.get("/sample/seen", headers=headers)).json() is True
        for wrong in ("Bearer", "Basic !!", "Basic bWU=", "Digest x", f"Bearer {secret}x"):
            assert (await client.get("/sample/seen", headers={"authorization": wrong})).status_code == 401
        elsewhere = {**basic, "sec-fetch-site": "cross-site"}
        assert (await client.post("/sample/seen", headers=elsewhere)).status_code == 403
        assert (
            await client.post("/sample/seen", headers={**basic, "sec-fetch-site": "same-origin"})
        ).status_code == 405
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ok", "redis": "ok"})


@one_server
async def test_a_stream_ends_with_its_key_and_others_go_on(server: local.Server, hub: Hub) -> None:
    ring = Keyring(hub)
    key, leaver = await ring.create("a leaver", ("admin",))
    _, stayer = await ring.create("a stayer", ("admin",))
    async with (
        served(create_app({}, Settings(redis_url=SecretStr(server.url), api_keys="on"))) as client,
        client.stream("GET", "/live", headers={"x-api-key": leaver}) as leaving,
        client.stream("GET", "/live", headers={"x-api-key": stayer}) as staying,
    ):
        told = leaving.aiter_lines()
        while not (await anext(told)).startswith("event: look"):
            pass
        await ring.revoke(key.id)
        async with asyncio.timeout(PROMPT_SECONDS):
            async for _ in told:
                pass
        went_on = staying.aiter_lines()
        while not (await anext(went_on)).startswith("event: look"):
            pass


@one_server
async def test_every_answer_says_how_it_may_be_used(server: local.Server) -> None:
    settings = Settings(redis_url=SecretStr(server.url))
    async with served(create_app({"sample": router}, settings)) as client:
        for path in ("/sample/seen", "/nowhere", "/metrics", "/livez"):
            told = (await client.get(path)).headers
            assert told["x-content-type-options"] == "nosniff", path
            assert told["referrer-policy"] == "no-referrer", path
            assert told["cache-control"] == "no-store", path
            assert "strict-transport-security" not in told, path
        page = (await client.get("/")).headers
        assert page["cache-control"] == "no-cache"
        assert "frame-ancestors 'none'" in page["content-security-policy"]


@one_server
async def test_without_a_word_about_keys_only_this_machine_is_answered(hub: Hub) -> None:
    gate = Gate("auto", {}, {})
    for server, answered in (
        (("127.0.0.1", 80), True), (("::1", 80), True), (("/run/lastro.sock", None), True),
        (("10.0.0.1", 80), False), (("0.0.0.0", 80), False), (("127.0.0.1.example.org", 80), False), (None, False),  # noqa: S104  # that is the test
    ):  # fmt: skip
        scope = {**asked("GET /", "", hub), "server": server}
        if answered:
            await gate.admit(scope, (b"", b""))
        else:
            with pytest.raises(LastroError, match="LASTRO_API_KEYS"):
                await gate.admit(scope, (b"", b""))
    await Gate("off", {}, {}).admit(asked("GET /", "", hub), (b"", b""))


class Sample(Environment):
    """Settings of a domain that comes with a secret for development."""

    model_config = SettingsConfigDict(env_prefix="LASTRO_SAMPLE_")
    secret: SecretStr = SecretStr("development")


def test_on_a_network_nothing_starts_before_keys_and_tls_were_spoken_of(tmp_path: Path) -> None:
    pem = tmp_path / "x.pem"
    pem.touch()
    host = "0.0.0.0"  # noqa: S104  # that is the test
    for given, why in (
        ({}, "LASTRO_API_KEYS: .*lastro keys create"),
        ({"api_keys": "on"}, "LASTRO_TLS: .*LASTRO_TLS_CERTIFICATE"),
        ({"tls_certificate": pem}, "one needs the other"),
        ({"tls_certificate": pem, "tls_key": tmp_path / "none"}, "there is no file"),
    ):
        with pytest.raises(Misconfigured, match=why):
            refuse_exposed(Settings(http_host=host, **given))
    refuse_exposed(Settings(http_host=host, api_keys="off", tls="off"))
    refuse_exposed(Settings(http_host=host, api_keys="on", tls_certificate=pem, tls_key=pem))
    with pytest.raises(Misconfigured, match="LASTRO_SAMPLE_SECRET: everybody knows"):
        refuse_exposed(Settings(http_host=host, api_keys="off", tls="off"), [Sample])
    for local_only in (Settings(), Settings(http_host=host, http_socket=tmp_path / "s"), Settings(http_host="::1")):
        refuse_exposed(local_only)


def test_a_secret_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:hunter2@localhost/0\n")
    monkeypatch.delenv("LASTRO_REDIS_URL", raising=False)
    monkeypatch.setenv("LASTRO_REDIS_URL_FILE", str(file))
    found = Settings.read().redis_url
    assert found is not None
    assert found.get_secret_value() == "redis://:hunter2@localhost/0"
    main(["settings"])
    monkeypatch.setenv("LASTRO_REDIS_URL", "redis://localhost")
    with pytest.raises(Misconfigured, match="say it once"):
        Settings.read()
    monkeypatch.delenv("LASTRO_REDIS_URL")
    monkeypatch.setenv("LASTRO_REDIS_URL_FILE", str(tmp_path / "none"))
    with pytest.raises(Misconfigured, match="No such file"):
        Settings.read()


async def test_while_the_store_is_away_no_key_is_believed_for_longer_than_the_bound(tmp_path: Path) -> None:
    store = start_server(tmp_path, durability="always")
    settings = Settings(redis_url=SecretStr(store.url), api_keys="on", redis_timeout_seconds=0.5)
    async with served(create_app({"sample": router}, settings)) as client:
        async with await connect_url(store.url) as hub:
            _, secret = await Keyring(hub).create("a test", ("admin",))
        headers = {"authorization": f"Bearer {secret}"}
        assert (await client.get("/sample/seen", headers=headers)).status_code == 200
        store.kill()
        gone = time.monotonic()

        async def refused() -> httpx.Response | None:
            answer = await client.get("/sample/seen", headers=headers)
            return answer if answer.status_code != 200 else None

        async with standstill() as lost:
            assert (await wait_for(refused, "the refusal")).status_code == 503
            assert time.monotonic() - gone - lost.seconds < FRESH_SECONDS + 2
        assert (await client.get("/livez")).status_code == 200
        store = start_server(tmp_path, durability="always")
        assert (await wait_for(lambda: client.get("/sample/seen", headers=headers))).status_code == 200
    store.stop()


async def test_an_answer_that_is_older_than_the_bound_when_it_comes_opens_nothing(tmp_path: Path) -> None:
    """A key that was revoked after the server had answered, and before the answer was here."""
    running = start_server(tmp_path)
    async with (
        await connect_url(running.url) as hub,
        Proxy.to(running.socket, tmp_path / "p.sock") as proxy,
        await connect_url(proxy.url, timeout_seconds=10) as slow,
    ):
        key, secret = await Keyring(hub).create("a test", ("admin",))
        ring = Keyring(slow)
        assert await ring.find(secret.encode())
        ring._read_at -= FRESH_SECONDS * 2
        proxy.delay_seconds = FRESH_SECONDS * 1.5
        before = await asked_so_far(hub)
        asking = asyncio.create_task(ring.find(secret.encode()))

        async def answered() -> bool:
            return await asked_so_far(hub) > before

        await wait_for(answered, "an answer on its way")
        await Keyring(hub).revoke(key.id)
        with pytest.raises(Busy):
            await asking
        asking = asyncio.create_task(ring.find(secret.encode()))
        proxy.delay_seconds = 0.0
        assert await asking is None
    running.stop()
