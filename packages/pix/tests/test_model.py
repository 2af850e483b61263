"""Identifiers, documents, keys and rules, as tables."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.pix.model.codes import sentence
from lastro.pix.model.documents import is_cnpj, is_cpf
from lastro.pix.model.ids import (
    BadId,
    end_to_end_id,
    ispb,
    make_end_to_end_id,
    make_msg_id,
    make_rtr_id,
    minute_ms,
    minute_of,
    msg_id,
    rtr_id,
    tx_id,
)
from lastro.pix.model.payment import Payment, amount_cents, refusal
from lastro.pix.model.pix_keys import key_type
from lastro.pix.model.record import Record
from lastro.pix.model.rules import key_breach, tx_id_breach

GOOD = "E99990001202611210342abcDEF12345"
MODULUS = 11


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD[:-1],
        GOOD + "0",
        GOOD + "\n",
        GOOD.replace("E", "D", 1),
        GOOD.lower(),
        "E9999000120261921034200000000001"[:32],
        "E99990001202602300342abcDEF12345",
        "E99990001202611212442abcDEF12345",
        "E99990001202611210362abcDEF12345",
        "E9999-001202611210342abcDEF12345",
        "E99990001202611210342abcDEF1234_",
        "E99990001\u0662\u0660\u0662\u066611210342abcDEF12345",
    ],
)
def test_what_is_no_end_to_end_id_is_refused(text: str) -> None:
    with pytest.raises(BadId):
        end_to_end_id(text)


def test_an_end_to_end_id_is_made_in_utc_and_says_its_minute() -> None:
    made = make_end_to_end_id("99990001", datetime(2026, 11, 21, 3, 42, 59, tzinfo=UTC), "abcDEF12345")
    assert made == GOOD
    assert minute_of(made) == "202611210342"
    assert minute_ms("202611210342") == 1_795_232_520_000


def test_the_other_identifiers_have_their_own_letter_and_length() -> None:
    assert rtr_id(make_rtr_id("12345678", datetime(2020, 9, 9, 10, 0, tzinfo=UTC), "abcde123456")) == (
        "D12345678202009091000abcde123456"
    )
    assert len(msg_id(make_msg_id("12345678", "a" * 23))) == 32
    for check, text in (
        (rtr_id, GOOD),
        (msg_id, "M1234567" + "a" * 24),
        (ispb, "1234567"),
        (tx_id, "a" * 36),
        (tx_id, ""),
    ):
        with pytest.raises(BadId):
            check(text)


@pytest.mark.parametrize(
    ("cnpj", "right"),
    [
        ("12ABC34501DE35", True),
        ("11222333000181", True),
        ("12ABC34501DE36", False),
        ("12abc34501de35", False),
        ("11222333000180", False),
        ("00000000000000", False),
        ("1122233300018", False),
    ],
)
def test_a_cnpj_may_have_letters_and_must_have_its_digits_right(cnpj: str, right: bool) -> None:  # noqa: FBT001
    assert is_cnpj(cnpj) is right


@pytest.mark.parametrize(
    ("cpf", "right"), [("52998224725", True), ("52998224726", False), ("11111111111", False), ("5299822472", False)]
)
def test_a_cpf_must_have_its_digits_right(cpf: str, right: bool) -> None:  # noqa: FBT001
    assert is_cpf(cpf) is right


@given(st.from_regex(r"\A[0-9A-Z]{12}\Z"))
def test_exactly_one_pair_of_check_digits_fits_a_cnpj(head: str) -> None:
    fitting = [f"{head}{pair:02d}" for pair in range(100) if is_cnpj(f"{head}{pair:02d}")]
    assert len(fitting) == 1 or len(set(head)) == 1


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("+5511999999999", "PHONE"),
        ("5511999999999", None),
        ("+0511999999999", None),
        ("caixa@lastro.example", "EMAIL"),
        ("Caixa@lastro.example", None),
        ("a" * 70 + "@lastro.example", None),
        ("7d9f3c1a-52b8-4e06-9a41-c0ffee123456", "EVP"),
        ("7D9F3C1A-52B8-4E06-9A41-C0FFEE123456", None),
        ("52998224725", "CPF"),
        ("12ABC34501DE35", "CNPJ"),
        ("52998224725\n", None),
        ("", None),
    ],
)
def test_a_pix_key_is_of_one_of_five_kinds(key: str, kind: str | None) -> None:
    assert key_type(key) == kind


@pytest.mark.parametrize(
    ("instrument", "key", "tx", "right"),
    [
        ("MANU", "", "", True),
        ("MANU", "+5511999999999", "", False),
        ("MANU", "", "abc", False),
        ("AUTO", "", "", True),
        ("AUTO", "+5511999999999", "", False),
        ("DICT", "+5511999999999", "", True),
        ("DICT", "", "", False),
        ("DICT", "+5511999999999", "abc", False),
        ("QRDN", "+5511999999999", "a" * 26, True),
        ("QRDN", "+5511999999999", "a" * 25, False),
        ("QRDN", "+5511999999999", "", False),
        ("APDN", "+5511999999999", "a" * 35, True),
        ("QRES", "+5511999999999", "", True),
        ("QRES", "+5511999999999", "a" * 25, True),
        ("QRES", "+5511999999999", "a" * 26, False),
        ("QRES", "+5511999999999", "***", False),
        ("INIC", "+5511999999999", "a" * 25, True),
        ("APES", "+5511999999999", "a" * 25, True),
        ("APES", "", "a", False),
    ],
)
def test_instrument_key_and_txid_go_together(instrument: str, key: str, tx: str, right: bool) -> None:  # noqa: FBT001
    assert (not key_breach(instrument, key) and not tx_id_breach(instrument, tx)) is right


@given(st.integers(min_value=1, max_value=999_999_999_999))
def test_every_amount_reads_back_as_the_centavos_it_is(size: int) -> None:
    assert amount_cents(f"{size // 100}.{size % 100:02d}") == size


@given(st.text(max_size=20))
def test_no_text_crashes_the_rules(text: str) -> None:
    payment = Payment(end_to_end_id=text, payer=text, payee=text, amount=text, accepted_at=text, key=text, tx_id=text)
    assert refusal(payment, 0).code


def test_a_record_reads_at_night() -> None:
    settled = Record.parse(GOOD, "S 1000 99990001 99990002 1795232520000 2 40002 877 - -")
    assert (settled.state, settled.final_ms - settled.received_ms, settled.code) == ("SETTLED", 877, "")
    rejected = Record.parse(GOOD, "R 1000 99990001 99990002 1795232520000 2 40002 3 AM04 spi")
    assert (rejected.state, rejected.code, rejected.by) == ("REJECTED", "AM04", "spi")
    accepted = Record.parse(GOOD, "A 1000 99990001 99990002 1795232520000 2 40002 0 - -")
    assert (accepted.final, accepted.due_ms - accepted.received_ms) == (False, 40_002)
    archived = Record.parse(GOOD, "s 1000 99990002")
    assert (archived.state, archived.archived, archived.payer, archived.final_ms) == ("SETTLED", True, "99990001", 0)
    assert archived.received_ms == 1_795_232_520_000


def test_every_code_has_a_sentence_and_an_unknown_one_is_its_own() -> None:
    assert sentence("AM04") == "the payer's bank has no funds in its Conta PI"
    assert sentence("ZZ99") == "ZZ99"
