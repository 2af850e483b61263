"""What nobody can process is kept with its reason, and never stops the others."""

from typing import Any

import msgspec
import pytest

from lastro.core.errors import OutcomeUnknown
from lastro.core.redis import connect_url
from lastro.core.redis.copies import Copies
from lastro.pix.engine import letters
from lastro.pix.engine.pix import Pix
from lastro.pix.errors import LetterCutOff, NoSuchLetter

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"

MALFORMED_ORIGINALS = [
    ("AM12", {"amount": "nan"}),
    ("AM12", {"amount": "1e3"}),
    ("AM12", {"amount": "-1"}),
    ("AM12", {"amount": "0.001"}),
    ("AM12", {"amount": "\u0661\u0662.\u0665\u0660"}),
    ("AM12", {"amount": "12.50\n"}),
    ("AM12", {"amount": ""}),
    ("AM12", {"amount": "99999999999.00"}),
    ("AM01", {"amount": "0.00"}),
    ("DT02", {"timestamp": "yesterday"}),
    ("DT02", {"timestamp": "2026-13-45T10:00:00"}),
    ("DT02", {"timestamp": "2020-01-01T10:00:00"}),
    ("CH16", {"backend_id": "a b"}),
    ("CH16", {"backend_id": ""}),
    ("CH16", {"transaction_id": "x" * 65}),
    ("AM12", {"amount": "9" * 2_000_000}),
]

MALFORMED_PAYMENTS = [
    ("FF08", {"end_to_end_id": "E99990001"}),
    ("FF08", {"end_to_end_id": "E9999000120261921034000000000001"}),
    ("FF08", {"end_to_end_id": "E9999000120201121034000000000001"}),
    ("FF08", {"end_to_end_id": "E9999000920261121034000000000001"}),
    ("RC09", {"payer": "9999-001"}),
    ("RC10", {"payee": "9999000"}),
    ("RC10", {"payee": "999\uff190002"}),
]

REJECTED_PAYMENTS = [
    ("AM12", {"amount": "nan"}),
    ("AM12", {"amount": "1e3"}),
    ("AM12", {"amount": "-1.00"}),
    ("AM12", {"amount": "0.001"}),
    ("AM01", {"amount": "0.00"}),
    ("DT02", {"accepted_at": "2026-02-30T00:00:00.000Z"}),
    ("DT02", {"accepted_at": "2020-01-01T00:00:00.000Z"}),
    ("CH16", {"local_instrument": "DICT"}),
    ("CH16", {"key": "+5511999999999"}),
    ("CH16", {"local_instrument": "NONE"}),
    ("CH16", {"tx_id": "abc"}),
    ("CH16", {"priority": "NORM"}),
    ("FF07", {"purpose": "GIFT"}),
    ("CH16", {"payee_account_type": "SLRY"}),
    ("CH16", {"payer_document": "11111111111"}),
]


async def codes(desk: Any) -> list[str]:
    return [letter.code for letter in await letters.letters(desk.pix)]


async def test_every_malformed_original_message_is_a_dead_letter_with_its_code(desk: Any, make_original: Any) -> None:
    for number, (_, change) in enumerate(MALFORMED_ORIGINALS):
        await desk.send(**make_original(number, **change))
    missing = make_original(99)
    del missing["amount"]
    await desk.send(**missing)
    await desk.send(**make_original(100))
    await desk.work()
    assert await codes(desk) == [code for code, _ in MALFORMED_ORIGINALS] + ["CH16"]
    assert len(await desk.heard("1")) == 1


async def test_every_malformed_payment_is_a_dead_letter_with_its_code(desk: Any) -> None:
    for _, change in MALFORMED_PAYMENTS:
        await desk.send(payment=msgspec.json.encode(msgspec.structs.replace(desk.order(), **change)).decode())
    for raw in ("", "[]", "{", '{"end_to_end_id":1}', '{"surprise":true}', "x" * 2_000_000):
        await desk.send(payment=raw)
    await desk.work()
    assert await codes(desk) == [code for code, _ in MALFORMED_PAYMENTS] + ["CH16"] * 6
    assert await desk.heard(PAYEE) == []


@pytest.mark.parametrize(("code", "change"), REJECTED_PAYMENTS)
async def test_a_payment_with_a_right_id_and_wrong_content_is_rejected_and_its_payer_told(
    desk: Any, code: str, change: dict[str, str]
) -> None:
    payment = desk.order(**change)
    await desk.send(payment=msgspec.json.encode(payment).decode())
    await desk.work()
    record = await desk.status(payment)
    assert (record.state, record.code, record.by) == ("REJECTED", code, "spi")
    assert [message["reason"] for message in await desk.heard(PAYER)] == [code]
    assert await desk.findings() == []


async def test_a_letter_is_shown_with_its_fields_and_replayed_once(desk: Any) -> None:
    """The payee opened its account late: the same payment settles on replay, and only once."""
    payment = desk.order()
    other = msgspec.structs.replace(payment, amount="20.00")
    await desk.pay(payment)
    await desk.send(payment=msgspec.json.encode(other).decode())
    await desk.work()
    (letter,) = await letters.letters(desk.pix)
    assert (await letters.letter(desk.pix, letter.id)).fields == {"payment": msgspec.json.encode(other).decode()}
    assert await letters.replay(desk.pix, letter.id)
    with pytest.raises(NoSuchLetter):
        await letters.replay(desk.pix, letter.id)
    await desk.work()
    assert await codes(desk) == ["FF08"]
    assert (await desk.status(payment)).cents == 1_000


async def test_bytes_that_are_no_text_survive_the_dead_letter_and_its_replay(desk: Any) -> None:
    raw = bytes(range(256))
    await desk.pix.write.xadd(desk.pix.keys.payments, {b"\xff\x00": raw})
    await desk.work()
    (letter,) = await letters.letters(desk.pix)
    await letters.replay(desk.pix, letter.id)
    entries = await desk.pix.read.xrange(desk.pix.keys.payments)
    assert entries[-1][1] == {b"\xff\x00": raw}


async def test_a_letter_that_was_cut_off_is_not_replayed_but_can_be_discarded(desk: Any) -> None:
    await desk.send(payment="x" * 2_000_000)
    await desk.work()
    (letter,) = await letters.letters(desk.pix)
    assert letter.cut_off
    with pytest.raises(LetterCutOff):
        await letters.replay(desk.pix, letter.id)
    await letters.discard(desk.pix, letter.id)
    with pytest.raises(NoSuchLetter):
        await letters.letter(desk.pix, letter.id)


async def test_dead_letters_are_bounded_and_the_oldest_go(desk: Any) -> None:
    small = type(desk)(
        type(desk.pix)(desk.pix.hub, desk.pix.settings.model_copy(update={"dead_max": 100}), desk.pix.keys)
    )
    for number in range(500):
        await small.send(nonsense=str(number))
    await small.work()
    kept = await letters.letters(small.pix, count=500)
    assert len(kept) <= 200  # "about": whole nodes of a hundred entries go
    assert kept[-1].fields == {"nonsense": "499"}


async def test_a_page_of_letters_goes_on_where_the_last_one_ended(desk: Any) -> None:
    for number in range(5):
        await desk.send(nonsense=str(number))
    await desk.work()
    first = await letters.letters(desk.pix, count=3)
    rest = await letters.letters(desk.pix, after=first[-1].id, count=3)
    assert [letter.fields["nonsense"] for letter in first + rest] == ["0", "1", "2", "3", "4"]


async def test_a_letter_whose_end_has_no_copy_is_not_answered_as_discarded(desk: Any) -> None:
    """A failover could bring it back to who believes it gone."""
    await desk.send(payment="nothing")
    await desk.work()
    (kept,) = await letters.letters(desk.pix)
    async with await connect_url(desk.pix.hub.url, copies=Copies(1, 50)) as alone:  # there is no replica
        with pytest.raises(OutcomeUnknown):
            await letters.discard(Pix.of(alone, desk.pix.settings), kept.id)
    with pytest.raises(NoSuchLetter):
        await letters.discard(desk.pix, kept.id)
