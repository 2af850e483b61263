"""A coupon redeemed in a payment reduces what is charged, and is given back if the payment dies."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from uuid import uuid4

import httpx
import pytest

from lastro.core.testing.engine import Engine, running, until

WAIT_SECONDS = 60.0
PRICE_CENTS, DISCOUNT_CENTS = 5_000, 1_200


class Processor(BaseHTTPRequestHandler):
    """A processor that says the same to every payment, is healthy, and asked for a payment has none."""

    protocol_version = "HTTP/1.1"
    status = 200
    free = threading.Event()
    """It answers payments."""
    free.set()
    charged: ClassVar[list[float]] = []

    def do_GET(self) -> None:
        """Its health, or a payment."""
        healthy = self.path.endswith("/service-health")
        self._answer(200 if healthy else 404, {"failing": False, "minResponseTime": 0} if healthy else {})

    def do_POST(self) -> None:
        """A payment."""
        self.free.wait(WAIT_SECONDS)
        self.charged.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["amount"])
        self._answer(self.status, {"message": "so it is"})

    def _answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Nothing is logged."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Engine]:
    """An engine whose two processors are this one."""
    processor = ThreadingHTTPServer(("127.0.0.1", 0), Processor)
    threading.Thread(target=processor.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{processor.server_address[1]}"
    with running(LASTRO_PAYMENTS_PROCESSOR_DEFAULT_URL=url, LASTRO_PAYMENTS_PROCESSOR_FALLBACK_URL=url) as engine:
        yield engine
    processor.shutdown()
    processor.server_close()


@pytest.fixture
def charged(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the processor is asked to charge in this test."""
    asked: list[float] = []
    monkeypatch.setattr(Processor, "charged", asked)
    return asked


def ask(engine: Engine, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
    """What the engine answers to ana."""
    headers = {"x-user-id": "ana"}
    url = f"{engine.url}{path}"
    answer = httpx.get(url, headers=headers) if body is None else httpx.post(url, json=body, headers=headers)
    found: dict[str, object] = answer.json()
    return found


def spent(engine: Engine, event_id: str, order: str = "") -> tuple[str, str]:
    """Ana has won a coupon and spends it in an order; the coupon and the order."""
    event = {"event_id": event_id, "total": 1, "discount_cents": DISCOUNT_CENTS, "open": True}
    ask(engine, "/coupons/events", event)
    coupon = str(ask(engine, f"/coupons/events/{event_id}/issuances", {})["issuance_id"])
    until(lambda: ask(engine, f"/coupons/issuances/{coupon}").get("status") == "issued", WAIT_SECONDS, "not stored")
    order = order or str(uuid4())
    for _ in range(2):  # asked twice, spent once
        charge = ask(
            engine, f"/coupons/issuances/{coupon}:spend", {"correlation_id": order, "amount_cents": PRICE_CENTS}
        )
        assert charge["charge_cents"] == PRICE_CENTS - DISCOUNT_CENTS
    return coupon, order


def test_what_is_left_of_the_price_is_charged_once_and_the_coupon_is_used(shop: Engine, charged: list[float]) -> None:
    coupon, order = spent(shop, "spring")
    until(lambda: ask(shop, f"/coupons/issuances/{coupon}")["status"] == "redeemed", WAIT_SECONDS, "not redeemed")
    assert charged == [(PRICE_CENTS - DISCOUNT_CENTS) / 100]
    assert ask(shop, f"/payments/{order}")["state"] == "done"


def test_the_coupon_is_given_back_when_the_payment_dies(
    shop: Engine, charged: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Processor, "status", 400)
    coupon, order = spent(shop, "autumn")
    until(lambda: ask(shop, f"/payments/{order}").get("state") == "dead", WAIT_SECONDS, "it lives")
    until(lambda: ask(shop, f"/coupons/issuances/{coupon}")["status"] == "issued", WAIT_SECONDS, "not given back")
    assert len(charged) == 1


def test_a_payment_of_another_amount_under_an_orders_id_does_not_pay_it(
    shop: Engine, charged: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Payments takes an id once, whoever comes first: here a cent, under way when the coupon is spent."""
    monkeypatch.setattr(Processor, "free", threading.Event())
    order = str(uuid4())
    assert httpx.post(f"{shop.url}/payments", json={"correlationId": order, "amount": 0.01}).is_success
    coupon, _ = spent(shop, "winter", order)
    Processor.free.set()
    until(lambda: ask(shop, f"/coupons/charges/{order}")["state"] == "dead", WAIT_SECONDS, "it lives")
    assert ask(shop, f"/coupons/issuances/{coupon}")["status"] == "issued"
    assert set(charged) == {0.01}
