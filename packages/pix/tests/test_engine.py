"""Pix in twenty examples. Read this first."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from lastro.core.errors import Invalid, OutcomeUnknown
from lastro.core.redis import connect_url
from lastro.core.redis.copies import Copies
from lastro.pix.engine import accounts, orders, statements
from lastro.pix.engine.letters import letters
from lastro.pix.engine.pix import Pix
from lastro.pix.errors import (
    NoSuchParticipant,
    NoSuchPayment,
    NotEnoughFunds,
    PaymentRefused,
    SameActOtherAmount,
    SameIdOtherPayment,
    TooManyPayments,
)
from lastro.pix.model.ids import make_end_to_end_id
from lastro.pix.model.payment import Answer

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"


async def test_a_payment_is_accepted_then_settled_and_both_sides_hear_of_it_once(desk: Any) -> None:
    """Funds are held, the receiver is asked; when it accepts they are its, and ACSC and ACCC go out."""
    payment = desk.order(1_000)
    await desk.pay(payment)
    assert (await desk.status(payment)).state == "ACCEPTED"
    assert await desk.balances() == (99_000, 1_000, 0)
    await desk.answer(payment)
    assert (await desk.status(payment)).state == "SETTLED"
    assert await desk.balances() == (99_000, 0, 1_000)
    assert [(m["message"], m["status"]) for m in await desk.heard(PAYER)] == [("pacs.002", "ACSC")]
    assert [(m["message"], m["status"]) for m in await desk.heard(PAYEE)] == [("pacs.008", ""), ("pacs.002", "ACCC")]
    assert await desk.findings() == []


async def test_a_receiver_refuses_and_the_funds_are_the_payers_again(desk: Any) -> None:
    payment = desk.order(1_000)
    await desk.pay(payment)
    await desk.answer(payment, reason="AC03")
    record = await desk.status(payment)
    assert (record.state, record.code, record.by) == ("REJECTED", "AC03", PAYEE)
    assert await desk.balances() == (100_000, 0, 0)
    assert (await desk.heard(PAYER))[-1]["reason"] == (await desk.heard(PAYEE))[-1]["reason"] == "AC03"


async def test_a_payment_without_funds_is_rejected_am04_and_the_receiver_never_asked(desk: Any) -> None:
    payment = desk.order(100_001)
    await desk.pay(payment)
    record = await desk.status(payment)
    assert (record.state, record.code, record.by) == ("REJECTED", "AM04", "spi")
    assert await desk.balances() == (100_000, 0, 0)
    assert await desk.heard(PAYEE) == []


async def test_a_payment_sent_twice_is_paid_once(desk: Any) -> None:
    """The same EndToEndId gets the same outcome, however often and by whichever way it comes."""
    payment = desk.order(1_000)
    body = msgspec.json.encode(payment).decode()
    await desk.send(payment=body)
    await desk.send(payment=body)
    await desk.work()
    await desk.answer(payment)
    assert (await orders.submit(desk.pix, [payment]))[0] == await desk.status(payment)
    await desk.send(payment=body)
    await desk.work()
    assert await desk.balances() == (99_000, 0, 1_000)
    assert len(await desk.heard(PAYER)) == 1
    assert await desk.findings() == []


async def test_the_same_id_with_another_amount_is_an_error(desk: Any) -> None:
    """Over HTTP it is refused; in the stream it becomes a dead letter, and the first payment stands."""
    payment = desk.order(1_000)
    await desk.pay(payment)
    other = msgspec.structs.replace(payment, amount="20.00")
    with pytest.raises(SameIdOtherPayment):
        await orders.submit(desk.pix, [other])
    await desk.send(payment=msgspec.json.encode(other).decode())
    await desk.work()
    assert (await desk.status(payment)).cents == 1_000
    assert [(letter.code, letter.fields["payment"]) for letter in await letters(desk.pix)] == [
        ("FF08", msgspec.json.encode(other).decode())
    ]


async def test_one_call_with_an_id_for_two_payments_takes_none_and_with_a_payment_twice_takes_it_once(
    desk: Any,
) -> None:
    payment, other = desk.order(1_000), desk.order(500)
    for change in ({"amount": "20.00"}, {"payee": "99990003"}):
        with pytest.raises(SameIdOtherPayment):
            await orders.submit(desk.pix, [other, payment, msgspec.structs.replace(payment, **change)])
    assert await desk.pix.read.xlen(desk.pix.keys.payments) == 0
    assert await orders.submit(desk.pix, [payment, other, payment]) == [None] * 3
    assert await desk.pix.read.xlen(desk.pix.keys.payments) == 2
    await desk.work()
    assert await desk.balances() == (98_500, 1_500, 0)
    assert await letters(desk.pix) == []


async def test_an_answer_that_comes_twice_or_from_a_stranger_changes_nothing(desk: Any) -> None:
    payment = desk.order(1_000)
    await desk.pay(payment)
    await desk.answer(payment, payee="99990003")
    assert (await desk.status(payment)).state == "ACCEPTED"
    await desk.answer(payment)
    await desk.answer(payment, reason="AC03")
    assert (await desk.status(payment)).state == "SETTLED"
    assert await desk.balances() == (99_000, 0, 1_000)
    assert len(await letters(desk.pix)) == 1


async def test_an_unknown_or_suspended_participant_is_told_so(desk: Any) -> None:
    unknown = desk.order(payee="99990009")
    await desk.pay(unknown)
    assert (await desk.status(unknown)).code == "RC10"
    await accounts.suspend(desk.pix, PAYEE, active=False)
    suspended = desk.order()
    await desk.pay(suspended)
    assert (await desk.status(suspended)).code == "DS27"
    await accounts.suspend(desk.pix, PAYEE, active=True)
    active = desk.order()
    await desk.pay(active)
    assert (await desk.status(active)).state == "ACCEPTED"


async def test_what_has_no_copy_yet_is_not_answered_as_suspended(desk: Any) -> None:
    """A failover could take it back, and the participant would pay on."""
    with pytest.raises(NoSuchParticipant):
        await accounts.suspend(desk.pix, "12345678", active=False)
    async with await connect_url(desk.pix.hub.url, copies=Copies(1, 50)) as alone:  # there is no replica
        with pytest.raises(OutcomeUnknown):
            await accounts.suspend(Pix.of(alone, desk.pix.settings), PAYEE, active=False)
    assert not (await accounts.suspend(desk.pix, PAYEE, active=False)).active
    assert (await accounts.suspend(desk.pix, PAYEE, active=True)).active


async def test_an_unknown_payer_is_rejected_and_gets_no_outbox(desk: Any) -> None:
    payment, wrong = desk.order(payer="99990077"), desk.order(payer="99990077", amount="0.00")
    for sent in (payment, wrong):
        await desk.send(payment=msgspec.json.encode(sent).decode())
    await desk.work()
    assert (await desk.status(payment)).code == (await desk.status(wrong)).code == "RC09"
    assert await desk.heard("99990077") == []
    assert await desk.findings() == []


async def test_an_initiators_id_names_another_institution_and_still_settles(desk: Any) -> None:
    """With INIC the EndToEndId is the initiator's; the payer's institution is told all the same."""
    payment = desk.order(local_instrument="INIC", key="+5511999999999")
    payment = msgspec.structs.replace(payment, end_to_end_id=payment.end_to_end_id.replace(PAYER, "99990055"))
    await desk.pay(payment)
    await desk.answer(payment)
    assert (await desk.status(payment)).state == "SETTLED"
    assert [m["status"] for m in await desk.heard(PAYER)] == ["ACSC"]
    assert await desk.findings() == []


async def test_another_payers_order_under_an_initiators_id_is_no_repeat(desk: Any) -> None:
    """Same id, amount and receiver: paid by one, it must not be taken for the other's."""
    await accounts.fund(desk.pix, "99990003", 10_000, "open")
    mine = desk.order(local_instrument="INIC", key="+5511999999999")
    mine = msgspec.structs.replace(mine, end_to_end_id=mine.end_to_end_id.replace(PAYER, "99990055"))
    yours = msgspec.structs.replace(mine, payer="99990003")
    await desk.pay(mine)
    with pytest.raises(SameIdOtherPayment):
        await orders.submit(desk.pix, [yours])
    await desk.send(payment=msgspec.json.encode(yours).decode())
    await desk.work()
    assert await desk.pix.read.xlen(desk.pix.keys.dead) == 1
    assert (await accounts.account(desk.pix, "99990003")).free_cents == 10_000


async def test_two_hundred_payments_race_for_the_funds_of_one_hundred(desk: Any) -> None:
    payments = [desk.order(1_000) for _ in range(200)]
    await desk.pay(*payments)
    await desk.answer(*payments)
    states = [(await desk.status(payment)).state for payment in payments]
    assert (states.count("SETTLED"), states.count("REJECTED")) == (100, 100)
    assert await desk.balances() == (0, 0, 100_000)
    assert await desk.findings() == []


async def test_counters_are_exact_to_the_centavo(desk: Any, make_original: Any) -> None:
    """A float would lose the last centavo of a tenth added ten times."""
    for number in range(10):
        await desk.send(**make_original(number, amount="0.10"))
    await desk.work()
    keys = desk.pix.keys
    assert await desk.pix.read.mget(keys.count, keys.amount, keys.cents) == [b"10", b"1.00", b"100"]


async def test_an_original_message_is_confirmed_in_its_backends_stream(desk: Any, make_original: Any) -> None:
    """The original contract, field by field; sent twice it is confirmed once."""
    message = make_original(7, amount="12.5", backend_id="4")
    await desk.send(**message)
    await desk.send(**message)
    await desk.work()
    confirmations = await desk.heard("4")
    assert [list(told) for told in confirmations] == [
        ["transaction_id", "status", "processed_amount", "backend_id", "timestamp"]
    ]
    assert {
        name: confirmations[0][name] for name in ("transaction_id", "status", "processed_amount", "backend_id")
    } == {
        "transaction_id": "txn_000007",
        "status": "confirmed",
        "processed_amount": "12.5",
        "backend_id": "4",
    }
    assert await desk.findings() == []


async def test_an_original_id_that_comes_again_at_another_time_is_another_payment(
    desk: Any, make_original: Any
) -> None:
    """The original producers draw six digits: they collide. A resend keeps its timestamp, a collision does not."""
    await desk.send(**make_original(7))
    await desk.send(**make_original(7))
    await desk.work()
    assert len(await desk.heard("1")) == 2


async def test_high_payments_are_taken_before_normal_ones(desk: Any) -> None:
    normal = [desk.order(100, priority="NORM", service_level="PAGFRD") for _ in range(3)]
    await orders.submit(desk.pix, normal)
    high = [desk.order(100) for _ in range(3)]
    await desk.pay(*high)
    asked = [message["id"] for message in await desk.heard(PAYEE)]
    assert asked == [payment.end_to_end_id for payment in high + normal]


async def test_bad_input_is_refused_with_the_spis_code_and_nothing_enters_a_stream(desk: Any) -> None:
    with pytest.raises(PaymentRefused) as refused:
        await orders.submit(desk.pix, [desk.order(), desk.order(payee=PAYER)])
    assert refused.value.about["spi"] == "AG12"
    assert await desk.pix.read.exists(desk.pix.keys.payments) == 0


async def test_a_resend_long_after_the_minute_in_its_id_gets_the_same_outcome(desk: Any) -> None:
    """The window for repeats is longer than the gap that a new id may have to the clock."""
    hours = timedelta(hours=13)
    payment = desk.order(end_to_end_id=make_end_to_end_id(PAYER, datetime.now(UTC) - hours, "a" * 11))
    with pytest.raises(PaymentRefused, match="too far from now"):
        await orders.submit(desk.pix, [payment])
    entry = f"{await desk.pix.now_ms() - hours // timedelta(milliseconds=1)}-0"
    await desk.pix.write.xadd(desk.pix.keys.payments, {"payment": msgspec.json.encode(payment)}, id=entry)
    await desk.work()
    (before,) = await orders.submit(desk.pix, [payment])
    assert before is not None
    assert (before.state, before.code) == ("REJECTED", "AB03")
    with pytest.raises(PaymentRefused):
        await orders.submit(desk.pix, [msgspec.structs.replace(payment, amount="20.00")])


async def test_a_participant_that_sends_too_fast_is_told_when_to_come_back(desk: Any) -> None:
    """Here 3 tokens, one back each hundred seconds: the bucket of one payer does not slow another."""
    await accounts.fund(desk.pix, "99990003", 1_000, "open")
    slow = type(desk)(
        type(desk.pix)(
            desk.pix.hub, desk.pix.settings.model_copy(update={"tokens": 3, "tokens_per_second": 0.01}), desk.pix.keys
        )
    )
    await orders.submit(slow.pix, [desk.order() for _ in range(3)])
    with pytest.raises(TooManyPayments) as refused:
        await orders.submit(slow.pix, [desk.order() for _ in range(3)])
    assert 200 < int(str(refused.value.about["retry_after_seconds"])) <= 300
    await orders.submit(slow.pix, [desk.order(payer="99990003")])


async def test_more_at_once_than_a_full_bucket_is_refused_for_good(desk: Any) -> None:
    """No time to come back could be named: it would never fit."""
    small = type(desk.pix)(desk.pix.hub, desk.pix.settings.model_copy(update={"tokens": 3}), desk.pix.keys)
    with pytest.raises(Invalid, match="a full token bucket: 3"):
        await orders.submit(small, [desk.order() for _ in range(4)])
    given = Answer(end_to_end_id=desk.order().end_to_end_id, payee=PAYEE, status="ACSP")
    with pytest.raises(Invalid, match="a full token bucket: 3"):
        await orders.answer(small, [given] * 16)
    await orders.submit(small, [desk.order() for _ in range(3)])
    await orders.answer(small, [given] * 15)


async def test_the_timeline_tells_a_payments_story(desk: Any) -> None:
    payment = await desk.settled()
    assert [event.what for event in await orders.timeline(desk.pix, payment.end_to_end_id)] == [
        "received",
        "accepted",
        "settled",
    ]


async def test_what_was_never_there_is_not_found(desk: Any) -> None:
    with pytest.raises(NoSuchPayment):
        await desk.status(desk.order())
    with pytest.raises(NoSuchPayment):
        await orders.status(desk.pix, "nonsense")
    with pytest.raises(NoSuchParticipant):
        await accounts.account(desk.pix, "99990009")


async def test_funding_happens_once_for_one_act(desk: Any) -> None:
    """However long ago: what remembers it has no end of life."""
    await accounts.fund(desk.pix, PAYER, 500, "act-1")
    await accounts.fund(desk.pix, PAYER, 500, "act-1")
    assert (await accounts.account(desk.pix, PAYER)).free_cents == 100_500
    found = [key async for key in desk.pix.read.scan_iter(match=f"*:funding:{PAYER}*")]
    assert [await desk.pix.read.ttl(key) for key in found] == [-1]
    with pytest.raises(SameActOtherAmount):
        await accounts.fund(desk.pix, PAYER, 501, "act-1")
    with pytest.raises(NotEnoughFunds):
        await accounts.fund(desk.pix, PAYER, -100_501, "act-2")


async def test_a_statement_lists_what_moved_newest_last(desk: Any) -> None:
    first, second = await desk.settled(1_000), await desk.settled(2_000)
    moved = await statements.movements(desk.pix, PAYER)
    assert [(movement.id, movement.cents) for movement in moved] == [
        (first.end_to_end_id, -1_000),
        (second.end_to_end_id, -2_000),
    ]
    assert [movement.cents for movement in await statements.movements(desk.pix, PAYEE, count=1)] == [2_000]


async def test_an_answer_costs_a_fifth_of_a_payments_token(desk: Any) -> None:
    """Here 1 token, one back each hundred seconds; what is refused enters no stream."""
    slow = type(desk.pix)(
        desk.pix.hub, desk.pix.settings.model_copy(update={"tokens": 1, "tokens_per_second": 0.01}), desk.pix.keys
    )
    given = Answer(end_to_end_id=desk.order().end_to_end_id, payee=PAYEE, status="ACSP")
    await orders.answer(slow, [given] * 5)
    with pytest.raises(TooManyPayments) as refused:
        await orders.answer(slow, [given] * 5)
    assert 50 < int(str(refused.value.about["retry_after_seconds"])) <= 100
    assert await slow.read.xlen(slow.keys.answers) == 5
    other = msgspec.structs.replace(given, payee=PAYER)
    await orders.answer(slow, [other])
    with pytest.raises(Invalid, match="one receiver"):
        await orders.answer(slow, [given, other])
