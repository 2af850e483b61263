"""Those who keep books at the ledger: a demo's 200,000 transfers over HTTP."""

import asyncio
import random
from collections import defaultdict
from typing import Any

import httpx

from lastro.core.acts import Act, Result, Stage

from .model.codes import TransferFlag
from .model.ids import new_id

LEDGER = 77
ACCOUNTS = 100
TRANSFERS = 200_000
BATCH = 1_000
CHAIN = 4
CLIENTS = 4
AGAIN_SECONDS = 0.1
DONE = {"ok"}
DONE_BEFORE = {"ok", "exists", "linked_event_failed"}
"""Of what is sent again: the first of a chain exists, and so the others of it fail; the balances show which it was."""


class Books:
    """What the clients expect of the ledger, from what they sent."""

    def __init__(self) -> None:
        self.accounts = [new_id() for _ in range(ACCOUNTS)]
        self.debits: dict[int, int] = defaultdict(int)
        self.credits: dict[int, int] = defaultdict(int)

    def batch(self) -> list[dict[str, Any]]:
        """1,000 transfers: plain ones, chains of four, and pending ones with what posts or voids them."""
        made: list[dict[str, Any]] = []
        while len(made) < BATCH * 6 // 10:
            made.append(self._transfer(0))
        while len(made) < BATCH * 8 // 10:
            made += [self._transfer(TransferFlag.LINKED if at < CHAIN - 1 else 0) for at in range(CHAIN)]
        while len(made) < BATCH:
            pending = self._transfer(TransferFlag.PENDING)
            voided = random.random() < 0.5  # noqa: PLR2004  # half of them
            flag = TransferFlag.VOID_PENDING_TRANSFER if voided else TransferFlag.POST_PENDING_TRANSFER
            if voided:
                self._book(pending, -1)
            settling = {**pending, "id": str(new_id()), "pending_id": pending["id"], "flags": int(flag)}
            made += [pending, settling]
        return made

    def _transfer(self, flags: int) -> dict[str, Any]:
        debit, credit = random.sample(self.accounts, 2)
        made = {
            "id": str(new_id()), "debit_account_id": str(debit), "credit_account_id": str(credit),
            "amount": str(random.randrange(1, 10_000)), "ledger": LEDGER, "code": 1, "flags": int(flags),
        }  # fmt: skip
        self._book(made, 1)
        return made

    def _book(self, transfer: dict[str, Any], sign: int) -> None:
        self.debits[int(transfer["debit_account_id"])] += sign * int(transfer["amount"])
        self.credits[int(transfer["credit_account_id"])] += sign * int(transfer["amount"])


async def play(stage: Stage) -> Result:
    """Send all; what was not answered is sent again, and the ids make that harmless."""
    books = Books()
    wrong: list[str] = []
    async with httpx.AsyncClient(base_url=stage.url, timeout=30.0) as client:
        opening = [{"id": str(number), "ledger": LEDGER, "code": 10} for number in books.accounts]
        await _sent(client, "/ledger/accounts/batch", opening)
        left = iter(range(TRANSFERS // BATCH))

        async def work() -> None:
            for _ in left:
                events = books.batch()
                outcomes, again = await _sent(client, "/ledger/transfers/batch", events)
                wrong.extend(
                    f"transfer {event['id']}: {outcome['status']}"
                    for event, outcome in zip(events, outcomes, strict=True)
                    if outcome["status"] not in (DONE_BEFORE if again else DONE)
                )
                stage.told(BATCH)

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(work())
        found, _ = await _sent(client, "/ledger/accounts/lookup", {"ids": [str(number) for number in books.accounts]})
    for account in found:
        number = int(account["id"])
        told = (int(account["debits_posted"]), int(account["credits_posted"]))
        if told != (books.debits[number], books.credits[number]):
            wrong.append(f"account {number} has {told}, sent were {(books.debits[number], books.credits[number])}")
    return Result(
        done=TRANSFERS, unit="transfers", notes="a fifth in chains, a fifth two-phase", wrong=tuple(wrong[:5])
    )


async def _sent(client: httpx.AsyncClient, path: str, body: Any) -> tuple[list[dict[str, Any]], bool]:
    """The answer, however often it has to be asked for, and whether that was more than once."""
    again = False
    while True:
        try:
            answer = await client.post(path, json=body)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.is_success:
            return answer.json(), again
        assert answer is None or answer.is_server_error, answer.text
        again = True
        await asyncio.sleep(AGAIN_SECONDS)


ACT = Act(what="ledger: transfers, chains, two-phase", steps=TRANSFERS, play=play)
