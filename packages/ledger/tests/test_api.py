"""The ledger over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import fields

import httpx
import pytest

from lastro.core.app import create_app
from lastro.core.local import Server
from lastro.core.plugins import installed
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing.web import served
from lastro.ledger import keys
from lastro.ledger.engine import Ledger
from lastro.ledger.errors import ChangesGone
from lastro.ledger.model.records import AccountFilter, QueryFilter
from lastro.ledger.settings import LedgerSettings

pytestmark = pytest.mark.anyio

PAYMENT = {"id": "100", "debit_account_id": "1", "credit_account_id": 2, "amount": "30", "ledger": 1, "code": 1}


@pytest.fixture
async def web(hub: Hub, server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """Two accounts, the first with history."""
    app = create_app(installed("lastro.routers", "ledger"), Settings(redis_url=server.url))
    async with served(app) as client:
        accounts = [{"id": 1, "ledger": 1, "code": 1, "flags": 8}, {"id": "2", "ledger": 1, "code": 1}]
        answer = await client.post("/ledger/accounts/batch", json=accounts)
        assert [each["result"] for each in answer.json()] == [0, 0]
        yield client


async def test_a_transfer_is_created_once(web: httpx.AsyncClient) -> None:
    first = await web.post("/ledger/transfers?balances=true", json={**PAYMENT, "metadata": {"order": 7}})
    again = await web.post("/ledger/transfers", json=PAYMENT)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["debit_account"]["debits_posted"] == "30"
    assert (again.json()["status"], again.json()["timestamp"]) == ("exists", first.json()["timestamp"])
    found = (await web.get("/ledger/transfers/100")).json()
    assert (found["amount"], found["metadata"]) == ("30", {"order": 7})


async def test_a_refusal_is_a_problem_with_its_code(web: httpx.AsyncClient) -> None:
    answer = await web.post("/ledger/transfers", json={**PAYMENT, "credit_account_id": "9"})
    assert answer.status_code == 409
    assert answer.json()["code"] == "ledger.transfer_refused"
    assert (answer.json()["result"], answer.json()["reason"]) == (22, "credit_account_not_found")
    answer = await web.post("/ledger/accounts", json={"id": 1, "ledger": 2, "code": 1, "flags": 8})
    assert (answer.status_code, answer.json()["result"]) == (409, 19)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": -1}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": str(1 << 128)}, "amount"),
        ({"amount": "9" * 100_000}, "amount"),
        ({"id": None}, "id"),
        ({"colour": 1}, "colour"),
        ({"code": True}, "code"),
    ],
)
async def test_bad_input_names_its_field(web: httpx.AsyncClient, change: dict[str, object], field: str) -> None:
    answer = await web.post("/ledger/transfers", json={**PAYMENT, **change})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    answer = await web.post("/ledger/transfers/batch", json=[PAYMENT, {**PAYMENT, **change}])
    assert (answer.status_code, answer.json()["field"]) == (422, f"event 1: {field}")
    assert (await web.get("/ledger/transfers")).json() == []


async def test_a_reservation_is_posted_or_voided(web: httpx.AsyncClient) -> None:
    for number in ("100", "200"):
        await web.post("/ledger/transfers", json={**PAYMENT, "id": number, "flags": 2})
    posted = await web.post("/ledger/transfers/100/post", json={"id": "101", "amount": "10"})
    voided = await web.post("/ledger/transfers/200/void", json={"id": "201"})
    assert (posted.status_code, voided.status_code) == (201, 201)
    account = (await web.get("/ledger/accounts/1")).json()
    assert (account["debits_pending"], account["debits_posted"]) == ("0", "10")
    late = await web.post("/ledger/transfers/200/post", json={"id": "202"})
    assert late.json()["reason"] == "pending_transfer_already_voided"


async def test_what_settles_has_no_fields_of_which_nothing_is_known(web: httpx.AsyncClient) -> None:
    """A misspelt amount would settle all of it."""
    await web.post("/ledger/transfers", json={**PAYMENT, "id": "100", "flags": 2})
    for path, body, field in (
        ("post", {"id": "101", "amonut": "1"}, "amonut"),
        ("post", {"id": "101", "amount": None}, "amount"),
        ("post", {"amount": "1"}, "id"),
        ("void", {"id": "101", "amount": "1"}, "amount"),
    ):
        answer = await web.post(f"/ledger/transfers/100/{path}", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert (await web.post("/ledger/transfers/100/post", json={})).json()["reason"] == "is missing"
    assert (await web.get("/ledger/accounts/1")).json()["debits_pending"] == "30"


async def test_what_is_no_json_is_said_to_be_none(web: httpx.AsyncClient) -> None:
    answer = await web.post("/ledger/transfers", content=b'{"id":', headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, "body")
    assert "not JSON" in answer.json()["detail"]
    for path in ("accounts", "accounts/batch", "accounts/lookup"):
        answer = await web.post(f"/ledger/{path}", content=b"{}", headers={"content-type": "text/plain"})
        assert (answer.status_code, answer.json()["field"]) == (422, "content-type")


@pytest.mark.parametrize("amount", ["9" * 5_000, "[" * 100_000])
async def test_what_is_too_much_to_be_read_is_refused_like_what_is_no_json(web: httpx.AsyncClient, amount: str) -> None:
    content = json.dumps(PAYMENT).replace('"30"', amount)
    answer = await web.post("/ledger/transfers", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, "body")


@pytest.mark.parametrize("note", [r'"\ud800"', r'{"\udfff": 1}', "[" * 101 + "]" * 101, "NaN", '"' + "x" * 5_000 + '"'])
async def test_metadata_that_could_not_be_answered_again_is_refused(web: httpx.AsyncClient, note: str) -> None:
    content = f'{json.dumps(PAYMENT)[:-1]}, "metadata": {note}}}'
    for path, body in (("transfers", content), ("transfers/batch", f"[{content}]")):
        answer = await web.post(f"/ledger/{path}", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["field"]) == (422, "metadata")
    assert (await web.get("/ledger/transfers/100")).status_code == 404


async def test_metadata_is_answered_as_it_came(web: httpx.AsyncClient) -> None:
    note = {"é😀": [1.5, None, True, "\x00[{"], "deep": json.loads("[" * 98 + "]" * 98)}
    assert (await web.post("/ledger/transfers", json={**PAYMENT, "metadata": note})).status_code == 201
    assert (await web.get("/ledger/transfers/100")).json()["metadata"] == note


async def test_a_field_of_a_path_or_a_query_is_named_as_it_is_written_there(web: httpx.AsyncClient) -> None:
    for request, field in (
        ("GET accounts/x", "account_id"),
        ("GET accounts/x/transfers", "account_id"),
        ("GET transfers/x", "transfer_id"),
        ("POST transfers/x/post", "pending_id"),
        ("GET accounts/1/transfers?flags=1", "flags"),
        ("GET accounts/1/transfers?reserved=1", "reserved"),
        ("GET transfers?limit=many", "limit"),
        ("GET transfers?colour=1", "colour"),
    ):
        method, path = request.split()
        answer = await web.request(method, f"/ledger/{path}", json={"id": 1} if method == "POST" else None)
        assert (answer.status_code, answer.json()["field"]) == (422, field), request
    answer = await web.post("/ledger/accounts/lookup", json={"ids": ["1", "x"]})
    assert (answer.status_code, answer.json()["field"]) == (422, "ids.1")
    for number in (True, 2.0, None, ["1"]):
        for path in ("accounts", "transfers"):
            answer = await web.post(f"/ledger/{path}/lookup", json={"ids": [number]})
            assert (answer.status_code, answer.json()["field"]) == (422, "ids.0")


async def test_every_documented_field_of_a_query_is_understood(web: httpx.AsyncClient) -> None:
    """And every field of a filter is documented, but for what the path and the words for the flags stand for."""
    paths = (await web.get("/openapi.json")).json()["paths"]
    for path, kind in (
        ("/ledger/accounts", QueryFilter),
        ("/ledger/transfers", QueryFilter),
        ("/ledger/accounts/{account_id}/transfers", AccountFilter),
        ("/ledger/accounts/{account_id}/balances", AccountFilter),
    ):
        told = {one["name"]: one["schema"] for one in paths[path]["get"]["parameters"] if one["in"] == "query"}
        wanted = {each.name for each in fields(kind)} - {"account_id", "flags", "reserved"}
        assert wanted <= told.keys()
        query = {name: str(schema["default"]).lower() for name, schema in told.items()}
        assert (await web.get(path.format(account_id=1), params=query)).status_code == 200


async def test_an_account_that_is_not_there_has_no_transfers_and_no_balances(web: httpx.AsyncClient) -> None:
    """As TigerBeetle has it: an empty list, and no error; asked for itself, it is one."""
    for what in ("transfers", "balances"):
        answer = await web.get(f"/ledger/accounts/404/{what}")
        assert (answer.status_code, answer.json()) == (200, [])
        told = (await web.get("/openapi.json")).json()["paths"][f"/ledger/accounts/{{account_id}}/{what}"]
        assert "404" not in told["get"]["responses"]
    assert (await web.get("/ledger/accounts/404")).status_code == 404


async def test_an_account_tells_its_transfers_and_balances(web: httpx.AsyncClient) -> None:
    await web.post("/ledger/transfers/batch", json=[{**PAYMENT, "id": number} for number in range(100, 105)])
    newest = (await web.get("/ledger/accounts/1/transfers?reversed=true&limit=2&side=debits")).json()
    assert [each["id"] for each in newest] == ["104", "103"]
    assert (await web.get("/ledger/accounts/1/transfers?side=credits")).json() == []
    rows = (await web.get("/ledger/accounts/1/balances")).json()
    assert [row["debits_posted"] for row in rows] == ["30", "60", "90", "120", "150"]
    assert len((await web.get("/ledger/accounts?ledger=1")).json()) == 2
    assert len((await web.get("/ledger/transfers?code=1&limit=3")).json()) == 3
    for path in ("accounts/1/transfers?side=x", "accounts/1/transfers?flags=1", "transfers?reversed=1", "accounts/x"):
        assert (await web.get(f"/ledger/{path}")).status_code == 422
    found = (await web.post("/ledger/transfers/lookup", json={"ids": ["104", 9, "100"]})).json()
    assert [each["id"] for each in found] == ["104", "100"]
    assert len((await web.post("/ledger/accounts/lookup", json={"ids": ["1", "2"]})).json()) == 2
    assert (await web.get("/ledger/accounts/9")).status_code == 404


async def test_changes_come_as_server_sent_events(web: httpx.AsyncClient) -> None:
    await web.post("/ledger/transfers", json=PAYMENT)
    lines: list[str] = []
    async with asyncio.timeout(30), web.stream("GET", "/ledger/changes?after=0") as stream:
        async for line in stream.aiter_lines():
            lines.append(line)
            if len([each for each in lines if each.startswith("data:")]) == 3:
                break
    told = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data:")]
    assert [each["kind"] for each in told] == ["account", "account", "transfer"]
    assert told[2]["transfer"]["amount"] == "30"
    debit, credit = (
        [told[2][side][name] for name in ("debits_pending", "debits_posted", "credits_pending", "credits_posted")]
        for side in ("debit_account", "credit_account")
    )
    assert (debit, credit) == (["0", "30", "0", "0"], ["0", "0", "0", "30"])
    position = next(line for line in lines if line.startswith("id: ")).removeprefix("id: ")
    async with web.stream("GET", "/ledger/changes", headers={"last-event-id": position}) as stream:
        first = await anext(line async for line in stream.aiter_lines() if line.startswith("data:"))
    assert json.loads(first.removeprefix("data: "))["account"]["id"] == "2"
    for wrong in ("x", "99999999999999999999", "1-99999999999999999999", "1-"):
        assert (await web.get(f"/ledger/changes?after={wrong}")).status_code == 422


async def test_who_asks_for_changes_that_were_trimmed_is_told(web: httpx.AsyncClient, hub: Hub) -> None:
    ledger = Ledger(hub, LedgerSettings())
    first = await anext(ledger.changes("0"))
    assert first is not None
    following = ledger.changes(first.position)
    assert await anext(following)
    await web.post("/ledger/transfers", json=PAYMENT)
    await hub.write.xtrim(keys.changes("main"), maxlen=1, approximate=False)
    with pytest.raises(ChangesGone):
        await anext(following)
    gone = await web.get("/ledger/changes", headers={"last-event-id": first.position})
    assert (gone.status_code, gone.json()["code"]) == (410, "ledger.changes_gone")
