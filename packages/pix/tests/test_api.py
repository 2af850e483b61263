"""Pix over HTTP: payments, answers, returns, outboxes, statements, codes; problems with the SPI's code."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import message_from_bytes
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from lastro.core import local
from lastro.core.app import create_app
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.testing.web import served
from lastro.pix.api import outbox, router
from lastro.pix.model import iso20022
from lastro.pix.model.payment import Answer

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"
CODE = (
    "00020126580014br.gov.bcb.pix01367d9f3c1a-52b8-4e06-9a41-c0ffee1234565204000053039865802BR"
    "5911LOJA LASTRO6009SAO PAULO62070503***630417F4"
)


@pytest.fixture
async def web(server: local.Server, desk: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app({"pix": router}, Settings(redis_url=SecretStr(server.url)))
    async with served(app) as client:
        yield client


async def send(web: httpx.AsyncClient, path: str, message: Any) -> httpx.Response:
    return await web.post(path, content=msgspec.json.encode(message))


async def test_a_payment_goes_all_the_way_over_http(web: httpx.AsyncClient, desk: Any) -> None:
    payment = desk.order(1_000)
    first = await send(web, "/pix/payments", payment)
    assert (first.status_code, first.json()) == (202, {"id": payment.end_to_end_id, "state": "RECEIVED"})
    await desk.work()
    again = await send(web, "/pix/payments", payment)
    assert (again.status_code, again.json()["state"]) == (200, "ACCEPTED")
    answer = Answer(end_to_end_id=payment.end_to_end_id, payee=PAYEE, status="ACSP")
    assert (await send(web, "/pix/answers", answer)).status_code == 202
    await desk.work()
    told = (await web.get(f"/pix/payments/{payment.end_to_end_id}")).json()
    assert (told["state"], [event["what"] for event in told["timeline"]]) == (
        "SETTLED",
        ["received", "accepted", "settled"],
    )
    back = await send(web, "/pix/returns", desk.giving_back(payment, 400))
    assert (back.status_code, back.json()["spi"]) == (201, "MD06")
    returns = (await web.get(f"/pix/payments/{payment.end_to_end_id}/returns")).json()
    assert (returns["left_cents"], returns["returns"][0]["amount_cents"]) == (600, 400)
    xml = await web.get(f"/pix/payments/{payment.end_to_end_id}/pacs.002")
    assert b"ACSC" in xml.content
    statement = (await web.get(f"/pix/participants/{PAYER}/statement")).json()
    assert [movement["cents"] for movement in statement["movements"]] == [-1_000, 400]


@pytest.mark.parametrize(
    ("spi", "field", "change"),
    [
        ("AM12", "amount", {"amount": "nan"}),
        ("AM12", "amount", {"amount": "1e3"}),
        ("AM01", "amount", {"amount": "0.00"}),
        ("CH16", "amount", {"amount": 12.5}),
        ("FF08", "end_to_end_id", {"end_to_end_id": "E1"}),
        ("RC10", "payee", {"payee": "x"}),
        ("AG12", "payee", {"payee": PAYER}),
        ("DT02", "accepted_at", {"accepted_at": "now"}),
        ("CH16", "surprise", {"surprise": True}),
        ("CH16", "key", {"local_instrument": "DICT", "key": "x"}),
        ("CH16", "payee_document", {"payee_document": "123"}),
    ],
)
async def test_bad_input_is_a_problem_with_the_spis_code_and_enters_no_stream(
    web: httpx.AsyncClient, desk: Any, spi: str, field: str, change: dict[str, Any]
) -> None:
    refused = await send(web, "/pix/payments", msgspec.to_builtins(desk.order()) | change)
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.status_code, refused.json()["spi"], refused.json()["field"]) == (422, spi, field)
    assert await desk.pix.read.exists(desk.pix.keys.payments) == 0


async def test_the_same_id_with_another_amount_is_a_conflict(web: httpx.AsyncClient, desk: Any) -> None:
    payment = desk.order(1_000)
    await desk.pay(payment)
    refused = await send(web, "/pix/payments", msgspec.structs.replace(payment, amount="20.00"))
    assert (refused.status_code, refused.json()["code"]) == (409, "pix.same_id_other_payment")


async def test_bulk_takes_all_lines_or_none(web: httpx.AsyncClient, desk: Any) -> None:
    good = [desk.order(100) for _ in range(20)]
    lines = b"\n".join(msgspec.json.encode(payment) for payment in good)
    refused = await web.post("/pix/payments/bulk", content=lines + b'\n{"end_to_end_id":1}')
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("The payment breaks a rule: line 21")
    assert refused.json()["field"] == "line 21: end_to_end_id"
    assert await desk.pix.read.exists(desk.pix.keys.payments) == 0
    taken = await web.post("/pix/payments/bulk", content=lines)
    assert (taken.status_code, len(taken.json())) == (202, 20)
    assert await desk.pix.read.xlen(desk.pix.keys.payments) == 20
    assert (await web.post("/pix/payments/bulk", content=b"")).status_code == 422
    two = [desk.order(100), desk.order(100, payer=PAYEE, payee=PAYER)]
    mixed = await web.post("/pix/payments/bulk", content=b"\n".join(msgspec.json.encode(payment) for payment in two))
    assert (mixed.status_code, mixed.json()["field"]) == (422, "payer")


async def test_too_many_payments_of_one_payer_are_told_when_to_come_back(web: httpx.AsyncClient, desk: Any) -> None:
    """3,750 tokens: the eighth bulk of 500 is one too many."""
    answers = []
    for _ in range(8):
        lines = b"\n".join(msgspec.json.encode(desk.order(1)) for _ in range(500))
        answers.append(await web.post("/pix/payments/bulk", content=lines))
    assert [answer.status_code for answer in answers[:7]] == [202] * 7
    assert answers[7].status_code in {202, 429}  # on a slow server some tokens have come back
    if answers[7].status_code == 429:
        assert int(answers[7].headers["retry-after"]) >= 1


async def test_when_the_engine_is_behind_further_payments_are_sent_away(
    server: local.Server, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LASTRO_PIX_LAG_MAX", "3")
    app = create_app({"pix": router}, Settings(redis_url=SecretStr(server.url)))
    async with served(app) as web:
        answers = [await send(web, "/pix/payments", desk.order(1)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 503]
    assert answers[3].headers["retry-after"] == "1"


async def test_answers_are_pulled_start_next_delete(web: httpx.AsyncClient, desk: Any) -> None:
    payments = [desk.order(100) for _ in range(12)]
    await desk.pay(*payments)
    first = await web.get(f"/pix/out/{PAYEE}/start")
    assert [message["id"] for message in first.json()] == [payment.end_to_end_id for payment in payments[:10]]
    second = await web.get(first.headers["PI-Pull-Next"])
    assert len(second.json()) == 2
    again = await web.get(first.headers["PI-Pull-Next"])  # its reply was lost
    assert (again.json(), again.headers["PI-Pull-Next"]) == (second.json(), second.headers["PI-Pull-Next"])
    assert (await web.get(second.headers["PI-Pull-Next"], params={"wait": 0})).status_code == 204
    assert (await web.delete(second.headers["PI-Pull-Next"])).status_code == 204
    assert (await web.get(second.headers["PI-Pull-Next"])).status_code == 404


async def test_answers_are_pulled_as_the_spis_envelopes(web: httpx.AsyncClient, desk: Any) -> None:
    """What the receiver reads there is what the payer sent; an original message's answer stays as it is."""
    payment = await desk.settled(1_000)
    order = desk.giving_back(payment, 400)
    await send(web, "/pix/returns", order)
    (asked, settled, _), (told, given_back, *_) = await envelopes(web, PAYEE), await envelopes(web, PAYER)
    assert iso20022.parse(asked[1])[1] == payment
    assert iso20022.parse(given_back[1])[1] == order
    for (_, xml), status in ((told, b">ACSC<"), (settled, b">ACCC<")):
        assert status in xml
    header = iso20022.parse(asked[1])[0]
    assert (header.sender, header.receiver) == (iso20022.SPI_ISPB, PAYEE)
    await desk.send(transaction_id="t1", backend_id="7", amount="1.00", timestamp=datetime.now(UTC).isoformat())
    await desk.work()
    ((kind, original),) = await envelopes(web, "7")
    assert (kind, msgspec.json.decode(original)["transaction_id"]) == ("application/json", "t1")


async def envelopes(web: httpx.AsyncClient, backend_id: str) -> list[tuple[str, bytes]]:
    """The first page of an outbox: media type and content of each part."""
    answer = await web.get(f"/pix/out/{backend_id}/start", headers={"accept": "multipart/mixed"})
    head = f"content-type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = [part for part in message_from_bytes(head + answer.content).walk() if not part.is_multipart()]
    assert all(part["PI-ResourceId"] for part in parts)
    return [(part.get_content_type(), str(part.get_payload()).encode()) for part in parts]


async def test_a_seventh_reader_hears_429(web: httpx.AsyncClient) -> None:
    told = [await web.get(f"/pix/out/{PAYEE}/start", params={"wait": 0}) for _ in range(7)]
    assert [answer.status_code for answer in told] == [204] * 6 + [429]


async def test_a_pull_waits_for_the_first_answer(web: httpx.AsyncClient, desk: Any) -> None:
    waiting = asyncio.create_task(web.get(f"/pix/out/{PAYEE}/start", params={"wait": 20}))
    payment = desk.order(100)
    await desk.pay(payment)
    assert (await waiting).json()[0]["id"] == payment.end_to_end_id


async def test_answers_come_as_events_from_the_last_one_seen(web: httpx.AsyncClient, desk: Any) -> None:
    payments = [desk.order(100) for _ in range(3)]
    await desk.pay(*payments)
    first = (await desk.pix.read.xrange(desk.pix.keys.outbox(PAYEE)))[0][0].decode()
    seen = []
    async with web.stream("GET", f"/pix/out/{PAYEE}/events", headers={"Last-Event-ID": first}) as events:
        async for line in events.aiter_lines():
            if line.startswith("data: "):
                seen.append(msgspec.json.decode(line[6:])["id"])
            if len(seen) == 2:
                break
    assert seen == [payment.end_to_end_id for payment in payments[1:]]


async def test_no_more_follow_events_than_there_are_places(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more hears 503; when one leaves, its place is free."""
    monkeypatch.setattr(outbox, "FOLLOWERS_MAX", 1)
    path = f"/pix/out/{PAYEE}/events"
    async with web.stream("GET", path) as events:
        lines = events.aiter_lines()  # kept: what iterates over an answer closes it when it is collected
        await anext(lines)
        more = await web.get(path)
        assert (more.status_code, more.json()["code"]) == (503, "lastro.busy")

    async def taken() -> bool:
        async with web.stream("GET", path) as events:
            return events.status_code == 200

    await wait_for(taken, "a place")


async def test_the_spis_xml_pays_answers_and_gives_back(web: httpx.AsyncClient, desk: Any) -> None:
    payment = desk.order(1_000)
    header = iso20022.Header(
        sender=PAYER, receiver=iso20022.SPI_ISPB, msg_id="M" + PAYER + "a" * 23, created_at="2026-11-21T03:42:00.000Z"
    )
    receiver = iso20022.Header(
        sender=PAYEE, receiver=iso20022.SPI_ISPB, msg_id="M" + PAYEE + "b" * 23, created_at="2026-11-21T03:42:00.000Z"
    )
    assert (await web.post("/pix/messages", content=iso20022.render_payment(header, payment))).status_code == 201
    await desk.work()
    assert (
        await web.post("/pix/messages", content=iso20022.render_status(receiver, payment.end_to_end_id, "ACSP", ""))
    ).status_code == 201
    await desk.work()
    order = desk.giving_back(payment, 1_000)
    assert (await web.post("/pix/messages", content=iso20022.render_return(receiver, order))).status_code == 201
    assert await desk.balances() == (100_000, 0, 0)
    bomb = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    refused = await web.post("/pix/messages", content=bomb)
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (422, "pix.bad_message", "body")
    nameless = iso20022.render_payment(header, payment).replace(b"MmbId", b"MmbIx")
    assert (await web.post("/pix/messages", content=nameless)).json()["field"].endswith("ClrSysMmbId/MmbId")
    worthless = iso20022.render_payment(header, desk.order(1_000, amount="0.00"))
    assert (await web.post("/pix/messages", content=worthless)).json()["field"].endswith("CdtTrfTxInf/IntrBkSttlmAmt")


async def test_participants_are_funded_once_an_act(web: httpx.AsyncClient) -> None:
    for _ in range(2):
        funded = await web.post("/pix/participants/99990007/funding", json={"id": "f1", "amount_cents": 500})
        assert (funded.status_code, funded.json()["free_cents"]) == (201, 500)
    short = await web.post("/pix/participants/99990007/funding", json={"id": "f2", "amount_cents": -501})
    assert (short.status_code, short.json()["spi"]) == (409, "AM04")
    other = await web.post("/pix/participants/99990007/funding", json={"id": "f1", "amount_cents": 501})
    assert (other.status_code, other.json()["code"]) == (409, "pix.same_act_other_amount")
    assert other.json()["detail"] == "The act f1 funded 99990007 before, with another amount."
    assert (await web.get("/pix/participants/99990099")).status_code == 404
    assert len((await web.get("/pix/participants")).json()) == 3


async def test_a_br_code_is_made_read_and_drawn_and_a_wrong_one_refused(web: httpx.AsyncClient) -> None:
    made = await web.post(
        "/pix/brcodes",
        json={"key": "7d9f3c1a-52b8-4e06-9a41-c0ffee123456", "name": "LOJA LASTRO", "city": "SAO PAULO"},
    )
    assert made.json() == {"text": CODE}
    assert (await web.get("/pix/brcodes/read", params={"text": CODE})).json()["city"] == "SAO PAULO"
    assert b"<svg" in (await web.get("/pix/brcodes/picture", params={"text": CODE})).content
    for path in ("read", "picture"):
        wrong = await web.get(f"/pix/brcodes/{path}", params={"text": CODE[:-1] + "5"})
        assert (wrong.status_code, wrong.json()["field"]) == (422, "text")


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_a_body_with_an_unknown_field_or_an_amount_too_large_is_refused_by_name(web: httpx.AsyncClient) -> None:
    """A code without the amount that somebody misspelled would be paid with any."""
    fund: dict[str, Any] = {"id": "f", "amount_cents": 1}
    code: dict[str, Any] = {"key": "7d9f3c1a-52b8-4e06-9a41-c0ffee123456", "name": "LOJA", "city": "SAO PAULO"}
    for path, body, field in (
        ("participants/99990007/funding", fund | {"amount": "1.00"}, "amount"),
        ("participants/99990007/funding", fund | {"amount_cents": 2**53}, "amount_cents"),
        ("participants/x/funding", fund, "ispb"),
        ("brcodes", code | {"amount": "1.005"}, "amount"),
        ("brcodes", code | {"amount_cents": 10**12}, "amount_cents"),
        ("brcodes", code | {"key": "x"}, "key"),
        ("brcodes", code | {"city": ""}, "city"),
        ("answers", {"end_to_end_id": "E1", "payee": PAYEE, "status": "ACSP"}, "end_to_end_id"),
        ("answers", {"payee": PAYEE, "status": "ACSP"}, "end_to_end_id"),
        ("answers", {"end_to_end_id": "E1", "payee": PAYEE, "status": "ACSC"}, "status"),
    ):
        refused = await web.post(f"/pix/{path}", json=body)
        assert (refused.status_code, refused.json().get("field")) == (422, field)


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_a_position_that_no_stream_can_have_is_told_so(web: httpx.AsyncClient) -> None:
    far = "9" * 20
    for request, status in (
        (f"GET /pix/dead/{far}-1", 404),
        (f"DELETE /pix/dead/{far}-1", 404),
        (f"DELETE /pix/dead/1-{far}", 404),
        (f"POST /pix/dead/{far}-1/replay", 404),
        (f"GET /pix/dead?after={far}-1", 422),
        (f"GET /pix/participants/{PAYER}/statement?before=1-{far}", 422),
        (f"GET /pix/participants/{PAYER}/statement?before=0-0", 422),
    ):
        assert (await web.request(*request.split())).status_code == status, request


async def test_dead_letters_are_listed_shown_replayed_and_discarded(web: httpx.AsyncClient, desk: Any) -> None:
    await desk.send(nonsense="1")
    await desk.work()
    (letter,) = (await web.get("/pix/dead")).json()
    assert (await web.get(f"/pix/dead/{letter['id']}")).json()["fields"] == {"nonsense": "1"}
    assert (await web.post(f"/pix/dead/{letter['id']}/replay")).json() == {"replayed": True}
    await desk.work()
    (letter,) = (await web.get("/pix/dead")).json()
    assert (await web.delete(f"/pix/dead/{letter['id']}")).status_code == 204
    assert (await web.get(f"/pix/dead/{letter['id']}")).status_code == 404


async def test_what_was_never_there_is_a_404(web: httpx.AsyncClient, desk: Any) -> None:
    for name in ("nonsense", desk.order().end_to_end_id):
        assert (await web.get(f"/pix/payments/{name}")).status_code == 404
