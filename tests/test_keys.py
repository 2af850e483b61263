"""An engine with keys on, route by route: nothing without a key, and nothing of another's with a narrowed one."""

import asyncio
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from datetime import UTC, datetime
from http.client import HTTPConnection
from io import StringIO
from typing import Any, Literal
from unittest.mock import patch
from uuid import uuid4

import httpx
import msgspec
import pytest

from lastro.core.access.described import SCHEMES
from lastro.core.access.gate import PROBES
from lastro.core.access.keyring import FRESH_SECONDS, Keyring
from lastro.core.app import create_app
from lastro.core.cli import main
from lastro.core.local import adopt
from lastro.core.plugins import installed
from lastro.core.redis import connect_url
from lastro.core.settings import Settings
from lastro.core.testing.engine import READY_SECONDS, Engine, running, until
from lastro.core.testing.web import served
from lastro.payments.simulator import Book, processor_app
from lastro.payments.simulator.rinha import Play
from lastro.pix.model import iso20022
from lastro.pix.model.ids import make_end_to_end_id, make_rtr_id
from lastro.pix.model.payment import Payment

OWN, OTHER, THIRD = "99990001", "99990002", "99990003"
HIDDEN = (
    "GET /",
    "GET /metrics",
    "GET /docs",
    "GET /docs/swagger-ui.css",
    "GET /openapi.json",
    "GET /dashboard/live.js",
    "GET /coupons/demo",
)
"""Routes that the OpenAPI document does not name."""
HARMLESS = {"POST /pix/brcodes", "GET /pix/brcodes/read", "GET /pix/brcodes/picture"}
"""Of a narrowed key's domain, and about nobody."""
METHODS = ("get", "post", "put", "patch", "delete")


def lastro(engine: Engine, *words: str) -> Any:
    """What a command against this engine's store says, as JSON."""
    with patch.dict(os.environ, {"LASTRO_DATA_DIR": str(engine.folder)}), redirect_stdout(StringIO()) as said:
        main([*words, "--json"])
    return json.loads(said.getvalue())


NARROWED = {"pix": f"pix:participant={OWN}", "ledger": "ledger:ledger=1", "coupons": "coupons:event=e1"}
KEYS = {
    "admin": ("admin",),
    **{domain: (f"{domain}:*", narrow) for domain, narrow in NARROWED.items()},
    "all of its own": ("pix:*", "ledger:*", "coupons:*", *NARROWED.values()),
    "reader": ("ledger:read", "payments:write"),
}


async def headers(redis_url: str) -> dict[str, dict[str, str]]:
    """What the owner of each of these keys sends."""
    async with await connect_url(redis_url) as hub:
        made = {name: (await Keyring(hub).create(name, scopes))[1] for name, scopes in KEYS.items()}
    return {name: {"authorization": f"Bearer {secret}"} for name, secret in made.items()}


class Books:
    """What two participants, two ledgers and two events have in this engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        store = adopt(engine.folder)
        assert store is not None
        self.headers = asyncio.run(headers(store.url))
        self.admin = self.client("admin")
        self.own, self.other = self._pay(OWN), self._pay(OTHER)
        for ledger in (1, 2):
            accounts = [{"id": str(10 * ledger + n), "ledger": ledger, "code": 10} for n in (1, 2)]
            self._done("/ledger/accounts/batch", accounts)
            self._done("/ledger/transfers", self.transfer(ledger, id=str(100 * ledger), flags=2))
            self._done("/coupons/events", {"event_id": f"e{ledger}", "total": 5, "open": True})
            self._done(f"/coupons/events/e{ledger}/issuances", None, headers={"x-user-id": "ana"})

    def client(self, name: str, **also: str) -> httpx.Client:
        """Somebody with that key."""
        return httpx.Client(base_url=self.engine.url, headers={**self.headers[name], **also}, timeout=10)

    @staticmethod
    def transfer(ledger: int, **also: Any) -> dict[str, Any]:
        """A transfer between the two accounts of a ledger."""
        sides = {"debit_account_id": f"{ledger}1", "credit_account_id": f"{ledger}2"}
        return {"ledger": ledger, "code": 1, "amount": "5", "id": str(uuid4().int), **sides, **also}

    @staticmethod
    def payment(payer: str) -> dict[str, Any]:
        """A payment of this participant to a third."""
        identity = make_end_to_end_id(payer, datetime.now(UTC), uuid4().hex[:11])
        return {"end_to_end_id": identity, "payer": payer, "payee": THIRD, "amount": "1.00"}

    def _pay(self, payer: str) -> str:
        for participant, cents in ((payer, 1000), (THIRD, 1000)):
            funding = {"id": f"open-{payer}", "amount_cents": cents}
            self._done(f"/pix/participants/{participant}/funding", funding)
        payment = self.payment(payer)
        identity: str = payment["end_to_end_id"]
        self._done("/pix/payments", payment)
        until(lambda: self.state(identity) == "ACCEPTED", READY_SECONDS, "it is not asked about")
        self._done("/pix/answers", {"end_to_end_id": identity, "payee": THIRD, "status": "ACSP"})
        until(lambda: self.state(identity) == "SETTLED", READY_SECONDS, "it does not settle")
        return identity

    def state(self, identity: str) -> str:
        """Where a payment is."""
        told = self.admin.get(f"/pix/payments/{identity}").json()
        return str(told.get("state"))

    def _done(self, path: str, body: Any, **options: Any) -> None:
        answer = self.admin.post(path, json=body, **options)
        assert answer.is_success, (path, answer.text)


@pytest.fixture(scope="module")
def books() -> Iterator[Books]:
    with running(LASTRO_API_KEYS="on", LASTRO_HTTP_PROCESSES="2") as engine:
        made = Books(engine)
        yield made
        made.admin.close()


def operations(document: dict[str, Any]) -> dict[str, Any]:
    """Route → what an OpenAPI document says of it."""
    items = document["paths"].items()
    return {f"{method.upper()} {path}": item[method] for path, item in items for method in METHODS if method in item}


def described(mode: Literal["off", "auto", "on"] = "on") -> dict[str, Any]:
    """Every route of the all-in-one service."""
    return operations(create_app(installed("lastro.routers"), Settings(api_keys=mode)).openapi())


def test_no_route_answers_without_a_key_except_the_probes(books: Books) -> None:
    routes = [*described(), *HIDDEN, "GET /nowhere", "POST /coupons/events/e1/issuances", "OPTIONS /pix/payments"]
    assert len(routes) > 60
    with httpx.Client(base_url=books.engine.url) as nobody:
        for route in routes:
            method, path = re.sub(r"\{\w+\}", "1", route).split(" ")
            answer = nobody.request(method, path)
            assert answer.status_code == (200 if path in PROBES else 401), route


def test_the_document_names_the_key_that_each_route_needs(books: Books) -> None:
    """Whoever has anything else is told that very scope."""
    document = books.admin.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == set(SCHEMES)
    assert operations(document).keys() == described().keys()
    with books.client("reader") as client:
        for route, told in operations(document).items():
            method, path = re.sub(r"\{\w+\}", "1", route).split(" ")
            if path in PROBES:
                assert told["security"] == []
                continue
            assert {"401", "403", "429"} <= told["responses"].keys(), route
            assert [set(one) for one in told["security"]] == [{scheme} for scheme in SCHEMES], route
            (scope,) = {scope for one in told["security"] for scopes in one.values() for scope in scopes}
            if scope not in KEYS["reader"]:
                refused = client.request(method, path)
                assert (refused.status_code, refused.json().get("scope")) == (403, scope), route


def test_the_document_asks_for_no_key_where_the_engine_asks_for_none() -> None:
    assert not any("security" in told for told in described("off").values())
    assert all({} in told["security"] for route, told in described("auto").items() if route.split(" ")[1] not in PROBES)


def foreign(books: Books, domain: str) -> tuple[dict[str, str], dict[str, Any]]:
    """What stands for the parameters of a path, and the bodies of requests, all about somebody else."""
    payment = books.payment(OTHER)
    header = iso20022.Header(
        sender=OTHER, receiver=THIRD, msg_id=f"M{OTHER}{uuid4().hex[:23]}", created_at="2026-11-21T12:00:00.000Z"
    )
    answer = {"end_to_end_id": books.own, "payee": OTHER, "status": "ACSP"}
    returned = {
        "rtr_id": make_rtr_id(OTHER, datetime.now(UTC), uuid4().hex[:11]),
        "end_to_end_id": books.other, "amount": "1.00", "reason": "MD06",
    }  # fmt: skip
    account = {"id": "29", "ledger": 2, "code": 10}
    parameters = {
        "ispb": OTHER, "backend_id": OTHER, "place": "r", "payment_id": books.other, "letter_id": "0-1",
        "account_id": "21", "transfer_id": "200", "pending_id": "200", "event_id": "e2", "user_id": "ana",
        "issuance_id": "x", "code": "x", "correlation_id": str(uuid4()),
    }  # fmt: skip
    bodies = {
        "POST /pix/payments": payment,
        "POST /pix/payments/bulk": msgspec.json.encode(payment),
        "POST /pix/messages": iso20022.render_payment(header, msgspec.convert(payment, Payment)),
        "POST /pix/answers": answer,
        "POST /pix/returns": returned,
        "POST /ledger/accounts": account,
        "POST /ledger/accounts/batch": [{**account, "ledger": 1}, account],
        "POST /ledger/accounts/lookup": {"ids": ["21"]},
        "POST /ledger/transfers": books.transfer(2),
        "POST /ledger/transfers/batch": [books.transfer(1), books.transfer(2)],
        "POST /ledger/transfers/lookup": {"ids": ["200"]},
        "POST /ledger/transfers/{pending_id}/post": {"id": "201"},
        "POST /ledger/transfers/{pending_id}/void": {"id": "202"},
    }
    return parameters, {route: body for route, body in bodies.items() if f"/{domain}/" in route}


@pytest.mark.parametrize("domain", NARROWED)
def test_a_key_of_one_reaches_nothing_of_another(books: Books, domain: str) -> None:
    """Every route of its domain is asked about somebody else's; what is a list of theirs is empty."""
    parameters, bodies = foreign(books, domain)
    with books.client(domain) as client:
        for route in described():
            method, path = route.split(" ")
            if path in PROBES or route in HARMLESS:
                continue
            body = bodies.pop(route, None)
            options = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
            answer = client.request(method, path.format_map(parameters), headers={"x-user-id": "ana"}, **options)
            assert answer.status_code in {403, 404} or answer.content == b"[]", (route, answer.status_code, answer.text)
    assert bodies == {}


def test_the_same_key_does_all_of_its_own(books: Books) -> None:
    paid, account, transfer = books.payment(OWN), {"id": "19", "ledger": 1, "code": 10}, books.transfer(1)
    bodies = {
        "POST /pix/payments": paid,
        "POST /ledger/accounts": account,
        "POST /ledger/transfers": transfer,
        "POST /ledger/accounts/lookup": {"ids": ["11", "21"]},
        "POST /ledger/transfers/100/void": {"id": "109"},
        "POST /coupons/events/e1/issuances": None,
    }
    reads = [
        f"/pix/participants/{OWN}", f"/pix/participants/{OWN}/statement", f"/pix/payments/{books.own}",
        f"/pix/payments/{books.own}/pacs.002", "/ledger/accounts/11", "/ledger/accounts/11/transfers",
        "/ledger/accounts?ledger=1", "/ledger/transfers/100", "/coupons/events/e1", "/coupons/events/e1/stats",
    ]  # fmt: skip
    with books.client("all of its own", **{"x-user-id": "bia"}) as client:
        for route, body in bodies.items():
            answer = client.request(*route.split(" "), json=body)
            assert answer.is_success, (route, answer.text)
            if "lookup" in route:
                assert [found["id"] for found in answer.json()] == ["11"]
        for path in reads:
            assert client.get(path).status_code == 200, path


def test_a_key_that_only_reads_changes_nothing(books: Books) -> None:
    with books.client("reader") as client:
        assert client.get("/ledger/accounts/11").status_code == 200
        assert client.post("/ledger/accounts/lookup", json={"ids": ["11"]}).status_code == 200
        assert client.post("/ledger/accounts", json={"id": "99", "ledger": 1, "code": 10}).status_code == 403
        payment = {"correlationId": str(uuid4()), "amount": 1.5}
        assert client.post("/payments", json=payment).status_code == 201
        for forgotten in ("/purge-payments", "/pix/answers", "/coupons/events"):
            assert client.post(forgotten).status_code == 403, forgotten


def secret(books: Books) -> str:
    """The admin's."""
    return books.headers["admin"]["authorization"].removeprefix("Bearer ")


def test_a_crowd_for_coupons_brings_the_key_of_the_settings(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("coupons", "rush", "--clients", "20", "--coupons", "5", "--url", books.engine.url)
    monkeypatch.setenv("LASTRO_API_KEY", secret(books))
    told = lastro(books.engine, *words)
    assert (told["answers"], told["broken"]) == ("5 × 201, 15 × 409", [])


@pytest.mark.anyio
async def test_the_official_load_of_payments_brings_a_key(books: Books) -> None:
    async with served(processor_app(Book())) as default, served(processor_app(Book())) as fallback:
        processors = (str(default.base_url), str(fallback.base_url))
        crowd = Play("preview", books.engine.url, processors, scale=0.01, speed=600, key=secret(books))
        result = await crowd.run(lambda share: None)
    assert result.accepted > 0
    assert result.failed == 0


def test_a_revoked_key_is_refused_by_every_process_within_the_bound(books: Books) -> None:
    made = lastro(books.engine, "keys", "create", "a leaver", "--scope", "admin")
    sent = {"x-api-key": made["secret"]}

    def answers() -> set[int]:
        """Of both processes: each time a new connection, taken by whichever is free."""
        return {status() for _ in range(16)}

    def status() -> int:
        with closing(HTTPConnection("127.0.0.1", books.engine.port)) as line:
            line.request("GET", "/nowhere", headers=sent)
            return line.getresponse().status

    assert answers() == {404}
    turned = lastro(books.engine, "keys", "rotate", made["id"])
    assert answers() == {404}
    sent = {"x-api-key": turned["secret"]}
    assert answers() == {404}
    lastro(books.engine, "keys", "revoke", made["id"])
    time.sleep(FRESH_SECONDS)
    assert answers() == {401}
