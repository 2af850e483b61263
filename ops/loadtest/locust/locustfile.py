# ruff: noqa: INP001  # found by locust, not imported
"""Locust: users of every service, each by its tag.

locust -f ops/loadtest/locust/locustfile.py --host http://127.0.0.1:8000 --tags payments --headless -u 20 -r 10 -t 30s
"""

import os
import random
from datetime import UTC, datetime
from uuid import uuid4

from locust import HttpUser, constant, events, tag, task

BANKS = ("99980001", "99980002")
COUPONS = int(os.environ.get("COUPONS", "100"))
LEDGER = 77
EVENT = f"locust-{uuid4()}"
ACCOUNTS = [str(uuid4().int) for _ in range(100)]


class Visitor(HttpUser):
    """Somebody with a key, where the engine asks for one."""

    abstract = True
    wait_time = constant(0)

    def on_start(self) -> None:
        """Bring the key."""
        if key := os.environ.get("LASTRO_KEY"):
            self.client.headers["Authorization"] = f"Bearer {key}"


class Payer(Visitor):
    """Pays through the processors."""

    @tag("payments")
    @task
    def pay(self) -> None:
        """One payment, under an id of its own."""
        body = f'{{"correlationId": "{uuid4()}", "amount": {random.randrange(100, 100_000) / 100:.2f}}}'
        self.client.post("/payments", data=body, headers={"Content-Type": "application/json"})


class Fan(Visitor):
    """Wants a coupon."""

    def on_start(self) -> None:
        """The first to come opens the event; for the others it is there."""
        super().on_start()
        self.client.post("/coupons/events", json={"event_id": EVENT, "total": COUPONS, "open": True})

    @tag("coupons")
    @task
    def attempt(self) -> None:
        """Pass or fail at once; sold out is an answer, too."""
        path, headers = f"/coupons/events/{EVENT}/issuances", {"X-User-Id": str(uuid4())}
        with self.client.post(path, headers=headers, name="attempt", catch_response=True) as answer:
            if answer.status_code in {201, 409}:
                answer.success()


class Bookkeeper(Visitor):
    """Moves money among a hundred accounts."""

    def on_start(self) -> None:
        """Open them; for the others they are there."""
        super().on_start()
        opening = [{"id": number, "ledger": LEDGER, "code": 10} for number in ACCOUNTS]
        self.client.post("/ledger/accounts/batch", json=opening)

    @tag("ledger")
    @task
    def post(self) -> None:
        """A batch of transfers; all of them are created."""
        made = []
        for _ in range(100):
            debit, credit = random.sample(ACCOUNTS, 2)
            made.append(
                {
                    "id": str(uuid4().int), "debit_account_id": debit, "credit_account_id": credit,
                    "amount": str(random.randrange(1, 10_000)), "ledger": LEDGER, "code": 1,
                }
            )  # fmt: skip
        with self.client.post("/ledger/transfers/batch", json=made, catch_response=True) as answer:
            if answer.ok and any(outcome["status"] != "ok" for outcome in answer.json()):
                answer.failure(answer.text[:200])


class Bank(Visitor):
    """Sends Pix payments."""

    def on_start(self) -> None:
        """Bring funds."""
        super().on_start()
        for ispb in BANKS:
            funding = {"id": str(uuid4()), "amount_cents": 100_000_000}
            self.client.post(f"/pix/participants/{ispb}/funding", json=funding, name="funding")

    @tag("pix")
    @task
    def pay(self) -> None:
        """One payment."""
        payer, payee = random.sample(BANKS, 2)
        made = {
            "end_to_end_id": f"E{payer}{datetime.now(UTC):%Y%m%d%H%M}{uuid4().hex[:11]}",
            "payer": payer,
            "payee": payee,
            "amount": f"{random.randrange(1, 1_000) / 100:.2f}",
        }
        self.client.post("/pix/payments", json=made, name="/pix/payments")


@events.quitting.add_listener
def judge(environment: object, **_: object) -> None:
    """Any failed request ends it with 1, and so does none at all."""
    total = environment.stats.total  # type: ignore[attr-defined]  # locust has no types for its own events
    environment.process_exit_code = int(total.num_failures > 0 or total.num_requests == 0)  # type: ignore[attr-defined]
