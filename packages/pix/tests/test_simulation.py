"""Random acts against the engine and against a plain dict; they must agree after every act."""

import random
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from lastro.pix.engine import accounts, orders, refunds
from lastro.pix.errors import ReturnRefused, SameIdOtherPayment
from lastro.pix.model.payment import Payment

pytestmark = pytest.mark.anyio

SEED = random.randrange(2**32)
BANKS = ["99990001", "99990002", "99990003"]


@dataclass
class Model:
    """The rules again, as simply as they can be said."""

    free: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    payments: dict[str, tuple[Payment, int]] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)

    def accept(self, payment: Payment, cents: int) -> None:
        if payment.end_to_end_id in self.state:
            return
        self.payments[payment.end_to_end_id] = (payment, cents)
        if self.free[payment.payer] < cents:
            self.state[payment.end_to_end_id] = "REJECTED"
            return
        self.free[payment.payer] -= cents
        self.held[payment.payer] += cents
        self.state[payment.end_to_end_id] = "ACCEPTED"

    def answer(self, name: str, *, accepts: bool) -> None:
        payment, cents = self.payments[name]
        if self.state[name] != "ACCEPTED":
            return
        self.held[payment.payer] -= cents
        self.free[payment.payee if accepts else payment.payer] += cents
        self.state[name] = "SETTLED" if accepts else "REJECTED"

    def refund(self, name: str, cents: int) -> bool:
        payment, paid = self.payments[name]
        back = self.returned.get(name, 0)
        if self.state[name] != "SETTLED" or back + cents > paid or self.free[payment.payee] < cents:
            return False
        self.returned[name] = back + cents
        self.free[payment.payee] -= cents
        self.free[payment.payer] += cents
        return True


async def test_the_engine_agrees_with_a_dict(desk: Any) -> None:
    print(f"seed {SEED}")
    chance, model = random.Random(SEED), Model()
    for bank in BANKS:
        await accounts.fund(desk.pix, bank, 5_000, "simulation")
        found = await accounts.account(desk.pix, bank)
        model.free[bank], model.held[bank] = found.free_cents, 0
    for _ in range(150):
        known = list(model.payments)
        match chance.choice(["pay", "pay", "again", "answer", "answer", "return"]):
            case "pay":
                payer, payee = chance.sample(BANKS, 2)
                cents = chance.randint(1, 30_000)
                payment = desk.order(cents, payer=payer, payee=payee)
                await desk.pay(payment)
                model.accept(payment, cents)
            case "again" if known:
                payment, _ = model.payments[chance.choice(known)]
                await desk.send(payment=msgspec.json.encode(payment).decode())
                await desk.work()
                with pytest.raises(SameIdOtherPayment):
                    await orders.submit(desk.pix, [msgspec.structs.replace(payment, amount="9999999.99")])
            case "answer" if known:
                name, accepts = chance.choice(known), chance.random() < 0.8
                payment, _ = model.payments[name]
                await desk.answer(payment, reason="" if accepts else "AC07", payee=payment.payee)
                model.answer(name, accepts=accepts)
            case "return" if known:
                name, cents = chance.choice(known), chance.randint(1, 20_000)
                payment, _ = model.payments[name]
                try:
                    await refunds.refund(desk.pix, desk.giving_back(payment, cents))
                    done = True
                except ReturnRefused:
                    done = False
                assert done == model.refund(name, cents)
            case _:
                continue
    for bank in BANKS:
        found = await accounts.account(desk.pix, bank)
        assert (found.free_cents, found.held_cents) == (model.free[bank], model.held[bank])
    for name, state in model.state.items():
        assert (await orders.status(desk.pix, name)).state == state
    assert await desk.findings() == []
