"""The contract over HTTP, and the path in front that answers like the documented route, byte for byte."""

import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from lastro.core import local
from lastro.core.app import create_app
from lastro.core.plugins import installed
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import standstill
from lastro.core.testing.web import served
from lastro.payments import api
from lastro.payments.engine import Payments
from lastro.payments.errors import BadPayment
from lastro.payments.settings import PaymentsSettings

pytestmark = pytest.mark.anyio
JSON = {"content-type": "application/json"}


@pytest.fixture
def app(server: local.Server) -> FastAPI:
    """The payments service."""
    return create_app(installed("lastro.routers", "payments"), Settings(redis_url=SecretStr(server.url)))


@pytest.fixture
async def client(app: FastAPI, hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """A client to the service, on the test's own store."""
    async with served(app) as connected:
        yield connected


GOOD = b'{"correlationId": "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", "amount": 19.90}'
CASES = [
    (GOOD, JSON),
    (b'{"amount": 1, "correlationId": "4A7901B8-7D26-4D9D-AA19-4DC1C7CF60B4", "more": true}', JSON),
    (b"", JSON),
    (b"{", JSON),
    (b"[]", JSON),
    (b"null", JSON),
    (b"\xff\xfe", JSON),
    (b'{"amount": 19.90}', JSON),
    (b'{"correlationId": "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"}', JSON),
    (b'{"correlationId": 5, "amount": 1}', JSON),
    (b'{"correlationId": "4a7901b87d264d9daa194dc1c7cf60b3", "amount": 1}', JSON),
    (b'{"correlationId": "zzzzzzzz-7d26-4d9d-aa19-4dc1c7cf60b3", "amount": 1}', JSON),
    *(
        (b'{"correlationId": "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", "amount": %s}' % amount, JSON)
        for amount in (
            b"0",
            b"-1",
            b"0.001",
            b"1e-3",
            b"NaN",
            b"Infinity",
            b'"NaN"',
            b"1e30",
            b"null",
            b"true",
            b"10.005",
            b"1e999999",
            b"1e-999999",
            b"1e99999999999999999999",
            b"1.000000000000000000000000000001",
            b'"5"',
            b'"sNaN"',
            b"{}",
        )
    ),
    (b'{"correlationId": "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", "more": %s}' % (b"[" * 3000 + b"]" * 3000), JSON),
    (GOOD, {"content-type": "text/plain"}),
    (GOOD, {"content-type": "application/jsonx"}),
    (GOOD, {}),
    (GOOD, {"content-type": "application/json; charset=utf-8"}),
]


async def test_the_path_in_front_answers_like_the_route_in_every_case(app: FastAPI, client: httpx.AsyncClient) -> None:
    """The route is reached under a path that the front does not know: a trailing query changes nothing for it."""
    for body, headers in CASES:
        fast = await client.post("/payments", content=body, headers=headers)
        documented = await client.post("/documented", content=body, headers=headers)
        assert _said(fast) == _said(documented), body


def _said(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    own = {"x-request-id", "date"}
    text = answer.content.replace(b"/documented", b"/payments")
    headers = {name: value for name, value in answer.headers.items() if name not in own | {"content-length"}}
    return answer.status_code, text, headers


@pytest.fixture(autouse=True)
def documented(app: FastAPI) -> None:
    """The documented route, reachable without the front."""
    app.add_api_route("/documented", api.accept, methods=["POST"], status_code=201)


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_bytes_that_are_not_a_payment_are_refused_by_name(body: bytes) -> None:
    with pytest.raises(BadPayment) as refused:
        api.asked("application/json", body)
    assert refused.value.about["field"] in {"body", "correlationId", "amount"}


async def test_what_is_refused_enters_nothing(client: httpx.AsyncClient, hub: Hub) -> None:
    payments = Payments(hub, PaymentsSettings())
    for body, headers in CASES:
        if (await client.post("/payments", content=body, headers=headers)).status_code != 201:
            assert await payments.waiting() <= 2
    assert await payments.waiting() == 2, "the two good ones"


async def test_a_body_beyond_the_bound_is_refused_before_it_is_read_as_a_payment(
    client: httpx.AsyncClient, hub: Hub
) -> None:
    padded = GOOD[:-1] + b', "more": "' + b"x" * 1_048_576 + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(padded), 65_536):
            yield padded[at : at + 65_536]

    for body in (padded, chunks()):
        answer = await client.post("/payments", content=body, headers=JSON)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert await Payments(hub, PaymentsSettings()).waiting() == 0


async def test_every_refusal_is_a_problem_document_of_the_4xx_kind(client: httpx.AsyncClient) -> None:
    for body, headers in CASES:
        answer = await client.post("/payments", content=body, headers=headers)
        if answer.status_code != 201:
            assert 400 <= answer.status_code < 500, body
            assert answer.headers["content-type"] == "application/problem+json"


async def test_wrong_methods_and_paths_are_problems_and_purging_forgets(client: httpx.AsyncClient) -> None:
    for answer in (
        await client.get("/payments"),
        await client.put("/payments", content=GOOD, headers=JSON),
        await client.delete("/payments"),
        await client.get("/payments-summary?from=yesterday"),
    ):
        assert answer.headers["content-type"] == "application/problem+json"
        assert 400 <= answer.status_code < 500
    assert (await client.post("/payments", content=GOOD, headers=JSON)).status_code == 201
    assert (await client.get("/payments/health")).json()["waiting"] == 1
    assert (await client.post("/purge-payments")).status_code == 200
    assert (await client.get("/payments/health")).json()["waiting"] == 0


async def test_the_summary_is_exact_decimal_text_with_the_fees_of_the_settings(
    client: httpx.AsyncClient, hub: Hub
) -> None:
    payments = Payments(hub, PaymentsSettings())
    await payments.renew()
    for amount in (1990, 10):
        await payments.accept(str(uuid4()), amount)
    for claim in await payments.claim("default", 2):
        await payments.commit(replace(claim, requested_at_ms=1_752_150_896_000))
    told = (await client.get("/payments-summary")).text
    assert told.startswith(
        '{"default":{"totalRequests":2,"totalAmount":20.00,"totalFee":1.00,"feePerTransaction":0.05},'
        '"fallback":{"totalRequests":0,"totalAmount":0.00'
    )
    edges = "/payments-summary?from=2025-07-10T12:34:56.000Z&to=2025-07-10T12:34:56.000Z"
    assert (await client.get(edges)).json()["default"]["totalRequests"] == 2
    assert (await client.get("/payments-summary?from=2025-07-10T12:34:56.001Z")).json()["default"]["totalRequests"] == 0
    assert (await client.get("/payments-summary?to=2025-07-10T12:34:55.999Z")).json()["default"]["totalRequests"] == 0


async def test_what_waits_and_what_is_in_flight_is_listed(client: httpx.AsyncClient, hub: Hub) -> None:
    payments = Payments(hub, PaymentsSettings())
    await payments.renew()
    first, second = str(uuid4()), str(uuid4())
    for id_ in (first, second):
        await payments.accept(id_, 5)
    await payments.claim("fallback", 1)
    listed = (await client.get("/payments/pending")).json()
    assert [(one["correlation_id"], one["state"]) for one in listed] == [(second, "queued"), (first, "in_flight")]


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_a_summary_of_a_store_that_hangs_is_503_in_time(
    app: FastAPI, hub: Hub, server: local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LASTRO_PAYMENTS_REDIS_TIMEOUT")
    async with served(app) as client, standstill() as lost:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert (await client.get("/payments-summary")).status_code == 503
            assert time.monotonic() - began - lost.seconds < 1.9
        finally:
            os.kill(server.pid, signal.SIGCONT)


async def test_one_payment_is_shown_with_its_state_and_a_dead_one_can_be_replayed_or_discarded(
    client: httpx.AsyncClient, hub: Hub
) -> None:
    payments = Payments(hub, PaymentsSettings())
    await payments.renew()
    id_ = str(uuid4())
    assert (await client.get(f"/payments/{id_}")).json()["code"] == "payments.unknown_payment"
    await payments.accept(id_, 5)
    (claim,) = await payments.claim("fallback", 1)
    await payments.bury(claim, "400")
    (dead,) = (await client.get("/payments/dead")).json()
    assert (dead["correlation_id"], dead["reason"]) == (id_, "400")
    assert (await client.get(f"/payments/dead/{id_}")).json() == dead
    assert (await client.get(f"/payments/dead?after={id_}")).json() == []
    assert (await client.post(f"/payments/dead/{id_}/replay")).json() == {"replayed": True}
    assert (await client.get(f"/payments/{id_}")).json()["state"] == "queued"
    assert (await client.get(f"/payments/dead?after={id_}")).json()["field"] == "after"
    for method, act in (("GET", ""), ("POST", "/replay"), ("DELETE", "")):
        assert (await client.request(method, f"/payments/dead/{id_}{act}")).status_code == 409
        assert (await client.request(method, f"/payments/dead/{uuid4()}{act}")).status_code == 404
    (claim,) = await payments.claim("fallback", 1)
    await payments.bury(claim, "400")
    assert (await client.delete(f"/payments/dead/{id_}")).status_code == 204
    assert (await client.get(f"/payments/{id_}")).json()["state"] == "discarded"
    assert (await client.get("/payments/dead")).json() == []
