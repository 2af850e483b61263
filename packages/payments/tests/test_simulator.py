"""The stand-in answers as the challenge's processors do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from lastro.core.testing import wait_for
from lastro.core.testing.web import served
from lastro.payments.engine.http import Answer, Cut, HttpClient
from lastro.payments.simulator import QUEUED_MAX, RUNNING_MAX, Book, Hostile, processor_app

pytestmark = pytest.mark.anyio
TOKEN = {"X-Rinha-Token": "123"}
AT = "2025-07-10T12:34:56.000Z"


@pytest.fixture
def book() -> Book:
    """The state of one processor."""
    return Book()


@pytest.fixture
async def client(book: Book) -> AsyncIterator[httpx.AsyncClient]:
    """A client to it."""
    transport = httpx.ASGITransport(processor_app(book))
    async with httpx.AsyncClient(transport=transport, base_url="http://processor") as connected:
        yield connected


def payment(**changed: Any) -> dict[str, Any]:
    """A good payment, or one with something changed."""
    return {"correlationId": str(uuid4()), "amount": 19.9, "requestedAt": AT} | changed


async def test_a_payment_is_taken_once_and_found_without_a_zone(client: httpx.AsyncClient) -> None:
    given = payment()
    assert (await client.post("/payments", json=given)).json() == {"message": "payment processed successfully"}
    again = await client.post("/payments", json=given)
    assert (again.status_code, given["correlationId"] in again.json()["message"]) == (422, True)
    found = (await client.get(f"/payments/{given['correlationId']}")).json()
    assert found == given | {"requestedAt": "2025-07-10T12:34:56.000"}
    assert (await client.get(f"/payments/{uuid4()}")).status_code == 404


async def test_what_is_malformed_is_400_and_another_content_type_415(client: httpx.AsyncClient) -> None:
    for body in (b"{", b"[]", b'{"correlationId": "x"}', b'{"amount": "much"}'):
        answer = await client.post("/payments", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400, body
    assert (await client.post("/payments", content=b"{}", headers={"content-type": "text/plain"})).status_code == 415


async def test_amounts_are_rounded_half_even_and_may_be_text_under_any_spelling(
    client: httpx.AsyncClient, book: Book
) -> None:
    for amount in ("10.005", "10.015"):
        body = {"CORRELATIONID": str(uuid4()), "Amount": amount, "requestedat": AT}
        assert (await client.post("/payments", json=body)).status_code == 200
    assert [cents for cents, _ in book.payments.values()] == [1000, 1002]


async def test_a_failing_processor_makes_the_caller_wait_and_says_nothing(client: httpx.AsyncClient) -> None:
    await client.put("/admin/configurations/delay", json={"delay": 50}, headers=TOKEN)
    was = await client.put("/admin/configurations/failure", json={"failure": True}, headers=TOKEN)
    assert (was.status_code, was.json()) == (200, {"config": "failure", "was": False, "is": True})
    answer = await client.post("/payments", json=payment())
    assert (answer.status_code, answer.content) == (500, b"")
    assert (await client.get("/payments/service-health")).json() == {"failing": True, "minResponseTime": 50}


async def test_the_flag_counts_that_is_up_when_the_delay_is_over(client: httpx.AsyncClient, book: Book) -> None:
    book.delay_ms = 50
    paying = asyncio.create_task(client.post("/payments", json=payment()))
    await wait_for(lambda: book.running, "the delay")
    book.failing = True
    assert (await paying).status_code == 500


async def test_the_summary_is_of_everything_unless_both_bounds_are_given(client: httpx.AsyncClient) -> None:
    for at in (AT, "2025-07-10T12:34:57.000Z"):
        await client.post("/payments", json=payment(requestedAt=at))
    path = "/admin/payments-summary"
    one = await client.get(f"{path}?from={AT}&to={AT}", headers=TOKEN)
    assert one.json() == {"totalAmount": 19.9, "totalRequests": 1, "totalFee": 0.995, "feePerTransaction": 0.05}
    assert (await client.get(f"{path}?from=2030-01-01T00:00:00Z", headers=TOKEN)).json()["totalRequests"] == 2
    assert (await client.get(f"{path}?from=never&to={AT}", headers=TOKEN)).status_code == 400


async def test_admin_calls_need_the_token_which_can_be_changed(client: httpx.AsyncClient) -> None:
    refused = await client.get("/admin/payments-summary")
    assert (refused.status_code, refused.content) == (401, b"")
    assert (await client.put("/admin/configurations/token", json={"token": "t"}, headers=TOKEN)).status_code == 204
    assert (await client.get("/admin/payments-summary", headers=TOKEN)).status_code == 401
    purged = await client.post("/admin/purge-payments", headers={"X-Rinha-Token": "t"})
    assert purged.json() == {"message": "All payments purged."}


async def test_beyond_its_places_and_its_queue_it_answers_429(client: httpx.AsyncClient, book: Book) -> None:
    book.running = RUNNING_MAX
    book.queued.extend(asyncio.get_running_loop().create_future() for _ in range(QUEUED_MAX))
    answer = await client.post("/payments", json=payment())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    assert (await client.get(f"/payments/{uuid4()}")).status_code == 429


async def test_the_journal_has_every_payment_that_was_sent_or_asked_for_and_what_came_of_it(
    client: httpx.AsyncClient, book: Book
) -> None:
    """The refused ones, too: an audit counts what reached the processor."""
    given, at_ms = payment(), 1_752_150_896_000
    id_ = given["correlationId"]
    await client.get(f"/payments/{id_}")
    for _ in range(2):
        await client.post("/payments", json=given)
    await client.get(f"/payments/{id_}")
    book.failing = True
    await client.post("/payments", json=given)
    await client.post("/payments", content=b"{", headers={"content-type": "application/json"})
    await client.post("/payments", content=b"{}", headers={"content-type": "text/plain"})
    book.running = RUNNING_MAX
    book.queued.extend(asyncio.get_running_loop().create_future() for _ in range(QUEUED_MAX))
    await client.post("/payments", json=given)
    await client.get(f"/payments/{id_}")
    assert (await client.get("/admin/journal", headers=TOKEN)).json() == [
        ["GET", 404, id_, 0, 0],
        ["POST", 200, id_, 1990, at_ms],
        ["POST", 422, id_, 1990, at_ms],
        ["GET", 200, id_, 1990, at_ms],
        ["POST", 500, id_, 1990, at_ms],
        ["POST", 400, "", 0, 0],
        ["POST", 415, "", 0, 0],
        ["POST", 429, "", 0, 0],
        ["GET", 429, id_, 0, 0],
    ]


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("close_after_record", Cut),
        ("half_open", Cut),
        ("fail_after_record", (500, b'{"message":"database error"}')),
        ("refuse_after_record", (403, b'{"message":"not from here"}')),
    ],
)
async def test_a_processor_that_runs_can_be_made_hostile_and_takes_the_payment_all_the_same(
    book: Book, mode: Hostile, told: type[Exception] | tuple[int, bytes]
) -> None:
    async with served(processor_app(book)) as at:
        client = HttpClient(str(at.base_url), 1.0, 1.0)

        async def made(given: str) -> Answer:
            body = b'{"hostile": "%s"}' % given.encode()
            return await client.ask(b"PUT /admin/configurations/hostile", body, b"X-Rinha-Token: 123\r\n")

        assert (await made(mode)).body == b'{"config":"hostile","was":"","is":"%s"}' % mode.encode()
        body = b'{"correlationId":"%s","amount":19.90}' % str(uuid4()).encode()
        try:
            answer = await client.ask(b"POST /payments", body)
            assert (answer.status, answer.body) == told
        except Cut:
            assert told is Cut
        assert [(call.method, call.status) for call in book.journal] == [("POST", 200)]
        assert [(await made(given)).status for given in ("", "friendly")] == [200, 400]
        assert (await client.ask(b"POST /payments", body)).status == 422
        client.close()


async def test_of_four_who_ask_for_health_one_is_answered_two_are_held_and_one_is_refused(
    client: httpx.AsyncClient, book: Book
) -> None:
    assert (await client.get("/payments/service-health")).status_code == 200
    held = [asyncio.create_task(client.get("/payments/service-health")) for _ in range(2)]
    await wait_for(lambda: len(book.health_queued) == 2, "the queue")
    assert (await client.get("/payments/service-health")).status_code == 429
    assert not any(task.done() for task in held)
    for task in [*held, *book.tasks]:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
