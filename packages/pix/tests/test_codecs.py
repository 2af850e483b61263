"""BR Code and ISO 20022: strict in, exact out."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.pix.model import brcode, iso20022
from lastro.pix.model.brcode import BadBrCode, BrCode
from lastro.pix.model.iso20022 import BadXml, Header
from lastro.pix.model.payment import Answer, Payment, Return

STATIC = (
    "00020126580014br.gov.bcb.pix01367d9f3c1a-52b8-4e06-9a41-c0ffee1234565204000053039865802BR"
    "5911LOJA LASTRO6009SAO PAULO62070503***630417F4"
)
PRICED = (
    "00020126420014br.gov.bcb.pix0120caixa@lastro.example520400005303986540510.005802BR"
    "5911LOJA LASTRO6009SAO PAULO62120508PEDIDO42630407EB"
)
DYNAMIC = (
    "00020101021226760014br.gov.bcb.pix2554pix.example.com/qr/v2/9d36b84fc70b478fb95c12729b90ca25"
    "5204000053039865802BR5911LOJA LASTRO6009SAO PAULO62070503***63042838"
)
HEADER = Header(
    sender="99990001",
    receiver=iso20022.SPI_ISPB,
    msg_id="M99990001" + "a" * 23,
    created_at="2026-11-21T03:42:00.000Z",
)
PAYMENT = Payment(
    end_to_end_id="E99990001202611210342abcDEF12345",
    payer="99990001",
    payee="99990002",
    amount="10.00",
    local_instrument="QRES",
    key="+5511999999999",
    tx_id="PEDIDO42",
    accepted_at="2026-11-21T03:42:00.000Z",
    payer_name="João & Filhos <Ltda>",
    payer_document="52998224725",
    payer_account="12345",
    text="água",
)


def recrc(text: str) -> str:
    """The same with a CRC that fits."""
    return text[:-4] + brcode.crc(text[:-4])


@pytest.mark.parametrize("text", [STATIC, PRICED, DYNAMIC])
def test_a_code_reads_and_writes_as_it_was(text: str) -> None:
    assert brcode.encode(brcode.decode(text)) == text


def test_the_crc_is_ccitt_false() -> None:
    assert brcode.crc("123456789") == "29B1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        STATIC[:-4] + "17F5",
        STATIC[:-4] + "17f4",
        STATIC[:-1],
        STATIC + "0",
        STATIC + "\n",
        recrc(STATIC.replace("62070503***", "62080503***")),
        recrc(STATIC.replace("5802BR", "5802US")),
        recrc(STATIC.replace("5303986", "5303840")),
        recrc(STATIC.replace("br.gov.bcb.pix", "br.gov.bcb.xip")),
        recrc(STATIC.replace("5911LOJA LASTRO", "")),
        recrc(STATIC.replace("000201", "000202")),
        recrc(STATIC.replace("7d9f3c1a", "7D9F3C1A")),
        recrc(PRICED.replace("540510.00", "54051e300")),
        recrc(PRICED.replace("0508PEDIDO42", "0508PEDIDO_2")),
        recrc("000201" + STATIC),
    ],
)
def test_a_code_with_anything_wrong_is_refused(text: str) -> None:
    """A right CRC over a wrong structure is refused as well."""
    with pytest.raises(BadBrCode):
        brcode.decode(text)


@given(
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ ", min_size=1, max_size=25),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ ", min_size=1, max_size=15),
    st.integers(0, 999_999_999_999),
    st.from_regex(r"\A[a-zA-Z0-9]{0,25}\Z"),
)
def test_every_static_code_reads_back(name: str, city: str, cents: int, tx_id: str) -> None:
    code = BrCode(name=name, city=city, key="+5511999999999", amount_cents=cents, tx_id=tx_id)
    assert brcode.decode(brcode.encode(code)) == code


@given(st.text(max_size=200))
def test_no_text_crashes_the_reader(text: str) -> None:
    with pytest.raises(BadBrCode):
        brcode.decode(text)


def test_a_payment_order_reads_and_writes_as_it_was() -> None:
    assert iso20022.parse(iso20022.render_payment(HEADER, PAYMENT)) == (HEADER, PAYMENT)


def test_an_answer_and_a_return_read_and_write_as_they_were() -> None:
    answer = Answer(end_to_end_id=PAYMENT.end_to_end_id, payee="99990001", status="RJCT", reason="AC03")
    assert iso20022.parse(iso20022.render_status(HEADER, PAYMENT.end_to_end_id, "RJCT", "AC03")) == (HEADER, answer)
    order = Return(
        rtr_id="D99990002202611210342abcDEF12345", end_to_end_id=PAYMENT.end_to_end_id, amount="4.00", reason="MD06"
    )
    assert iso20022.parse(iso20022.render_return(HEADER, order)) == (HEADER, order)


def test_the_spis_final_status_names_the_payment_and_the_reason() -> None:
    told = {"message": "pacs.002", "id": PAYMENT.end_to_end_id, "status": "RJCT", "reason": "AM04"}
    xml = iso20022.render(told, to="99990001", entry_id="1795232520000-3")
    assert xml is not None
    assert xml == iso20022.render(told, to="99990001", entry_id="1795232520000-3")
    for part in (b"pacs.002/1.17", b"RJCT", b"AM04", PAYMENT.end_to_end_id.encode()):
        assert part in xml


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"nonsense",
        b"<a/>",
        b'<Envelope xmlns="https://www.bcb.gov.br/pi/pacs.008/1.16"/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b'<!DOCTYPE a [<!ENTITY x "y">]><Envelope xmlns="https://www.bcb.gov.br/pi/pacs.008/1.16">&x;</Envelope>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="UTF-7"?>'
        + iso20022.render_payment(HEADER, PAYMENT).partition(b"?>")[2]
        + b"+ADwAIQ--- what --+AD4-",
        b'<Envelope xmlns="https://www.bcb.gov.br/pi/pacs.008/2.0"><AppHdr/></Envelope>',
        b'<Envelope xmlns="https://evil.example/pi/pacs.008/1.16"><AppHdr/></Envelope>',
        b"<a>" * 10_000 + b"</a>" * 10_000,
        b'<Envelope xmlns="https://www.bcb.gov.br/pi/pacs.008/1.16">' + b" " * 70_000 + b"</Envelope>",
        iso20022.render_payment(HEADER, PAYMENT).replace(b'Ccy="BRL"', b'Ccy="USD"'),
        iso20022.render_payment(HEADER, PAYMENT).replace(b"EndToEndId", b"EndToEndIx"),
    ],
)
def test_what_is_no_envelope_of_the_spi_is_refused(xml: bytes) -> None:
    with pytest.raises(BadXml):
        iso20022.parse(xml)


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_parser(raw: bytes) -> None:
    with pytest.raises(BadXml):
        iso20022.parse(raw)


def test_an_order_may_leave_out_what_has_a_default() -> None:
    bare = msgspec.structs.replace(PAYMENT, local_instrument="MANU", key="", tx_id="", payer_name="", text="")
    assert iso20022.parse(iso20022.render_payment(HEADER, bare))[1] == bare
