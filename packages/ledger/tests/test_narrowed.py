"""What a key that is narrowed to one ledger hears of another one's transfers and accounts, however it asks."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from lastro.core.access.keyring import Keyring
from lastro.core.app import create_app
from lastro.core.local import Server
from lastro.core.plugins import installed
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing.web import served
from lastro.ledger.engine import Ledger
from lastro.ledger.model.codes import AccountFlag, TransferFlag
from lastro.ledger.model.records import Account, Transfer
from lastro.ledger.settings import LedgerSettings

# the rules are the same on every server
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["embedded"], indirect=True)]

PAID, RESERVED, OWN = 100, 101, 200
EXISTS, PENDING = "exists_with_different_", "pending_transfer_has_different_"


@pytest.fixture
async def web(hub: Hub, server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """Ledger 1 has a transfer and a reservation; the client's key is for ledger 2, which has a reservation, too."""
    ledger = Ledger(hub, LedgerSettings())
    await ledger.create_accounts([Account(id=n, ledger=1, code=1, user_data_32=7) for n in (3, 4)])
    await ledger.create_accounts([Account(id=n, ledger=2, code=1) for n in (8, 9)])
    paid = {"debit_account_id": 3, "credit_account_id": 4, "amount": 1234, "ledger": 1, "code": 1}
    own = {"debit_account_id": 8, "credit_account_id": 9, "amount": 5, "ledger": 2, "code": 1}
    await ledger.create_transfers(
        [
            Transfer(id=PAID, **paid),
            Transfer(id=RESERVED, **paid, flags=TransferFlag.PENDING),
            Transfer(id=OWN, **own, flags=TransferFlag.PENDING),
        ]
    )
    _, key = await Keyring(hub).create("of ledger 2", ("ledger:*", "ledger:ledger=2"))
    app = create_app(installed("lastro.routers", "ledger"), Settings(redis_url=server.url, api_keys="on"))
    async with served(app) as client:
        client.headers["authorization"] = f"Bearer {key}"
        yield client


def guess(**changes: Any) -> dict[str, Any]:
    return {"id": PAID, "debit_account_id": 3, "credit_account_id": 4, "amount": 1234, "ledger": 2, "code": 1} | changes


async def statuses(web: httpx.AsyncClient, path: str, events: list[dict[str, Any]]) -> list[str]:
    answer = await web.post(f"/ledger/{path}/batch", json=events)
    assert answer.status_code == 200, answer.text
    return [each["status"] for each in answer.json()]


async def test_a_right_guess_at_another_s_transfer_is_answered_like_a_wrong_one(web: httpx.AsyncClient) -> None:
    wrong = [{"debit_account_id": 5}, {"credit_account_id": 5}, {"amount": 1}, {"flags": 2}, {"user_data_64": 1}]
    guesses = [guess(), *(guess(**change) for change in wrong)]
    assert set(await statuses(web, "transfers", guesses)) == {f"{EXISTS}ledger"}
    for event in guesses:
        answer = await web.post("/ledger/transfers", json=event)
        assert (answer.status_code, answer.json()["reason"], answer.json()["result"]) == (409, f"{EXISTS}ledger", 67)


async def test_a_right_guess_at_what_another_reserved_is_answered_like_a_wrong_one(web: httpx.AsyncClient) -> None:
    post = {"flags": int(TransferFlag.POST_PENDING_TRANSFER), "pending_id": RESERVED}
    wrong = [{"debit_account_id": 5}, {"credit_account_id": 5}, {"amount": 5000}, {"pending_id": PAID}]
    guesses = [guess(id=300 + n, **post | change) for n, change in enumerate([{}, *wrong])]
    assert set(await statuses(web, "transfers", guesses)) == {f"{PENDING}ledger"}


async def test_a_right_guess_at_another_s_account_is_answered_like_a_wrong_one(web: httpx.AsyncClient) -> None:
    account = {"id": 3, "ledger": 2, "code": 1, "user_data_32": 7}
    guesses = [account, account | {"user_data_32": 8}, account | {"flags": int(AccountFlag.HISTORY)}]
    assert set(await statuses(web, "accounts", guesses)) == {f"{EXISTS}ledger"}
    for event in guesses:
        answer = await web.post("/ledger/accounts", json=event)
        assert (answer.json()["reason"], answer.json()["result"]) == (f"{EXISTS}ledger", 19)


async def test_settling_one_s_own_under_another_s_id_says_as_little(web: httpx.AsyncClient) -> None:
    answer = await web.post(f"/ledger/transfers/{OWN}/post", json={"id": PAID})
    assert (answer.status_code, answer.json()["reason"]) == (409, f"{EXISTS}ledger")


async def test_of_its_own_it_hears_everything(web: httpx.AsyncClient) -> None:
    own = guess(id=OWN, debit_account_id=8, credit_account_id=9, amount=5, flags=int(TransferFlag.PENDING))
    post = own | {"flags": int(TransferFlag.POST_PENDING_TRANSFER), "pending_id": OWN, "id": 300}
    events = [own, own | {"amount": 6}, post | {"amount": 6}, post | {"debit_account_id": 9}]
    assert await statuses(web, "transfers", events) == [
        "exists", f"{EXISTS}amount", "exceeds_pending_transfer_amount", f"{PENDING}debit_account_id",
    ]  # fmt: skip
    account = {"id": 8, "ledger": 2, "code": 1}
    assert await statuses(web, "accounts", [account, account | {"code": 2}]) == ["exists", f"{EXISTS}code"]
    assert await statuses(web, "transfers", []) == []
