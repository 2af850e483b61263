"""The SPI's XML: pacs.008, pacs.002 and pacs.004 envelopes, in and out.

The parser is deaf to everything XML can do beyond elements and text: no DTD, no entities, no network, bounded size.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from lxml import etree  # type: ignore[import-untyped]  # it ships no types

from lastro.core.clock import iso

from .ids import make_msg_id
from .payment import Answer, Payment, Return

BYTES_MAX: Final = 65_536
SPI_ISPB: Final = "00038166"
VERSIONS: Final = {"pacs.008": "1.16", "pacs.002": "1.17", "pacs.004": "1.5"}
_NAMESPACE: Final = re.compile(r"https://www\.bcb\.gov\.br/pi/(pacs\.00[248])/1\.\d{1,2}", re.ASCII)


class BadXml(ValueError):
    """Not an envelope the SPI would read; the words say why (admi.002 in the SPI's own language), and of what."""

    def __init__(self, reason: str, element: str = "body") -> None:
        super().__init__(reason)
        self.element = element


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The business header: who speaks to whom, under which MsgId, when."""

    sender: str
    receiver: str
    msg_id: str
    created_at: str


def parse(xml: bytes) -> tuple[Header, Payment | Answer | Return]:
    """Read one envelope. Raises BadXml; the rules about the content are the model's, not the parser's."""
    root, kind = _envelope(xml)
    reader = _Reader(root)
    header = Header(
        sender=reader.text("AppHdr/Fr/FIId/FinInstnId/Othr/Id"),
        receiver=reader.text("AppHdr/To/FIId/FinInstnId/Othr/Id"),
        msg_id=reader.text("AppHdr/BizMsgIdr"),
        created_at=reader.text("AppHdr/CreDt"),
    )
    match kind:
        case "pacs.008":
            return header, _payment(reader)
        case "pacs.002":
            return header, _answer(reader, header)
        case _:
            return header, _return(reader)


def _envelope(xml: bytes) -> tuple[etree._Element, str]:
    if len(xml) > BYTES_MAX:
        raise BadXml(f"longer than {BYTES_MAX} bytes")
    if b"<!" in xml:
        raise BadXml("no DTD, entity, comment or CDATA is read")
    parser = etree.XMLParser(
        encoding="UTF-8",  # whatever it says of itself: in another one "<!" would be other bytes
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(xml, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadXml(f"not well-formed: {error}") from None
    name = etree.QName(root)
    match = _NAMESPACE.fullmatch(name.namespace or "")
    if not match or name.localname != "Envelope":
        raise BadXml("not an Envelope of a message of the SPI")
    return root, match[1]


class _Reader:
    """Text by path, all in the envelope's one namespace."""

    def __init__(self, root: etree._Element) -> None:
        self.root = root
        self.namespace = str(etree.QName(root).namespace)

    def find(self, path: str) -> etree._Element | None:
        return self.root.find("/".join(f"{{{self.namespace}}}{step}" for step in path.split("/")))

    def text(self, path: str, default: str | None = None) -> str:
        found = self.find(path)
        if found is not None and found.text is not None:
            return str(found.text).strip()
        if default is None:
            raise BadXml(f"{path} is missing", path)
        return default

    def amount(self, path: str) -> str:
        found = self.find(path)
        if found is None or found.get("Ccy") != "BRL":
            raise BadXml(f"{path} is missing, or not in BRL", path)
        return str(found.text or "").strip()


_TX8: Final = "Document/FIToFICstmrCdtTrf/CdtTrfTxInf"
_TX2: Final = "Document/FIToFIPmtStsRpt/TxInfAndSts"
_TX4: Final = "Document/PmtRtr/TxInf"


def _payment(reader: _Reader) -> Payment:
    tx = _TX8
    return Payment(
        end_to_end_id=reader.text(f"{tx}/PmtId/EndToEndId"),
        tx_id=reader.text(f"{tx}/PmtId/TxId", ""),
        amount=reader.amount(f"{tx}/IntrBkSttlmAmt"),
        accepted_at=reader.text(f"{tx}/AccptncDtTm", ""),
        priority=reader.text("Document/FIToFICstmrCdtTrf/GrpHdr/PmtTpInf/InstrPrty", "HIGH"),
        service_level=reader.text("Document/FIToFICstmrCdtTrf/GrpHdr/PmtTpInf/SvcLvl/Prtry", "PAGPRI"),
        local_instrument=reader.text(f"{tx}/MndtRltdInf/Tp/LclInstrm/Prtry", "MANU"),
        purpose=reader.text(f"{tx}/Purp/Cd", "IPAY"),
        payer=reader.text(f"{tx}/DbtrAgt/FinInstnId/ClrSysMmbId/MmbId"),
        payer_name=reader.text(f"{tx}/Dbtr/Nm", ""),
        payer_document=reader.text(f"{tx}/Dbtr/Id/PrvtId/Othr/Id", ""),
        payer_account=reader.text(f"{tx}/DbtrAcct/Id/Othr/Id", ""),
        payer_branch=reader.text(f"{tx}/DbtrAcct/Id/Othr/Issr", ""),
        payer_account_type=reader.text(f"{tx}/DbtrAcct/Tp/Cd", "CACC"),
        payee=reader.text(f"{tx}/CdtrAgt/FinInstnId/ClrSysMmbId/MmbId"),
        payee_document=reader.text(f"{tx}/Cdtr/Id/PrvtId/Othr/Id", ""),
        payee_account=reader.text(f"{tx}/CdtrAcct/Id/Othr/Id", ""),
        payee_branch=reader.text(f"{tx}/CdtrAcct/Id/Othr/Issr", ""),
        payee_account_type=reader.text(f"{tx}/CdtrAcct/Tp/Cd", "CACC"),
        key=reader.text(f"{tx}/CdtrAcct/Prxy/Id", ""),
        text=reader.text(f"{tx}/RmtInf/Ustrd", ""),
    )


def _answer(reader: _Reader, header: Header) -> Answer:
    status = reader.text(f"{_TX2}/TxSts")
    if status not in {"ACSP", "RJCT"}:
        raise BadXml("a participant answers ACSP or RJCT", f"{_TX2}/TxSts")
    return Answer(
        end_to_end_id=reader.text(f"{_TX2}/OrgnlEndToEndId"),
        payee=header.sender,
        status="ACSP" if status == "ACSP" else "RJCT",
        reason=reader.text(f"{_TX2}/StsRsnInf/Rsn/Cd", ""),
    )


def _return(reader: _Reader) -> Return:
    return Return(
        rtr_id=reader.text(f"{_TX4}/RtrId"),
        end_to_end_id=reader.text(f"{_TX4}/OrgnlEndToEndId"),
        amount=reader.amount(f"{_TX4}/RtrdIntrBkSttlmAmt"),
        reason=reader.text(f"{_TX4}/RtrRsnInf/Rsn/Cd"),
        text=reader.text(f"{_TX4}/RtrRsnInf/AddtlInf", ""),
    )


def render_payment(header: Header, order: Payment) -> bytes:
    """A pacs.008 envelope."""
    write = _Writer("pacs.008", header)
    head, tx = "Document/FIToFICstmrCdtTrf/GrpHdr", _TX8
    write.text(f"{head}/MsgId", header.msg_id)
    write.text(f"{head}/CreDtTm", header.created_at)
    write.text(f"{head}/NbOfTxs", "1")
    write.text(f"{head}/SttlmInf/SttlmMtd", "CLRG")
    write.text(f"{head}/PmtTpInf/InstrPrty", order.priority)
    write.text(f"{head}/PmtTpInf/SvcLvl/Prtry", order.service_level)
    write.text(f"{tx}/PmtId/EndToEndId", order.end_to_end_id)
    write.text(f"{tx}/PmtId/TxId", order.tx_id)
    write.amount(f"{tx}/IntrBkSttlmAmt", order.amount)
    write.text(f"{tx}/AccptncDtTm", order.accepted_at)
    write.text(f"{tx}/ChrgBr", "SLEV")
    write.text(f"{tx}/MndtRltdInf/Tp/LclInstrm/Prtry", order.local_instrument)
    write.text(f"{tx}/Dbtr/Nm", order.payer_name)
    write.text(f"{tx}/Dbtr/Id/PrvtId/Othr/Id", order.payer_document)
    write.text(f"{tx}/DbtrAcct/Id/Othr/Id", order.payer_account)
    write.text(f"{tx}/DbtrAcct/Id/Othr/Issr", order.payer_branch)
    write.text(f"{tx}/DbtrAcct/Tp/Cd", order.payer_account_type)
    write.text(f"{tx}/DbtrAgt/FinInstnId/ClrSysMmbId/MmbId", order.payer)
    write.text(f"{tx}/CdtrAgt/FinInstnId/ClrSysMmbId/MmbId", order.payee)
    write.text(f"{tx}/Cdtr/Id/PrvtId/Othr/Id", order.payee_document)
    write.text(f"{tx}/CdtrAcct/Id/Othr/Id", order.payee_account)
    write.text(f"{tx}/CdtrAcct/Id/Othr/Issr", order.payee_branch)
    write.text(f"{tx}/CdtrAcct/Tp/Cd", order.payee_account_type)
    write.text(f"{tx}/CdtrAcct/Prxy/Id", order.key)
    write.text(f"{tx}/Purp/Cd", order.purpose)
    write.text(f"{tx}/RmtInf/Ustrd", order.text)
    return write.bytes()


def render_return(header: Header, order: Return) -> bytes:
    """A pacs.004 envelope."""
    write = _Writer("pacs.004", header)
    write.text("Document/PmtRtr/GrpHdr/MsgId", header.msg_id)
    write.text("Document/PmtRtr/GrpHdr/CreDtTm", header.created_at)
    write.text("Document/PmtRtr/GrpHdr/NbOfTxs", "1")
    write.text("Document/PmtRtr/GrpHdr/SttlmInf/SttlmMtd", "CLRG")
    write.text(f"{_TX4}/RtrId", order.rtr_id)
    write.text(f"{_TX4}/OrgnlEndToEndId", order.end_to_end_id)
    write.amount(f"{_TX4}/RtrdIntrBkSttlmAmt", order.amount)
    write.text(f"{_TX4}/RtrRsnInf/Rsn/Cd", order.reason)
    write.text(f"{_TX4}/RtrRsnInf/AddtlInf", order.text)
    return write.bytes()


def render_status(header: Header, payment_id: str, status: str, code: str) -> bytes:
    """A pacs.002 envelope: a receiver's answer, ACSP or RJCT, or the SPI's last word, ACSC, ACCC or RJCT."""
    write = _Writer("pacs.002", header)
    write.text("Document/FIToFIPmtStsRpt/GrpHdr/MsgId", header.msg_id)
    write.text("Document/FIToFIPmtStsRpt/GrpHdr/CreDtTm", header.created_at)
    write.text(f"{_TX2}/OrgnlInstrId", payment_id)
    write.text(f"{_TX2}/OrgnlEndToEndId", payment_id)
    write.text(f"{_TX2}/TxSts", status)
    write.text(f"{_TX2}/StsRsnInf/Rsn/Cd", code)
    return write.bytes()


def render(message: Mapping[str, str], *, to: str, entry_id: str) -> bytes | None:
    """What a participant is told, as the SPI sends it; the same whenever it is asked for.

    None for what has no such form: the answer to an original message.
    """
    ms, _, number = entry_id.partition("-")
    header = Header(
        sender=SPI_ISPB,
        receiver=to,
        msg_id=make_msg_id(SPI_ISPB, f"{ms:0>15}{number:0>8}"),
        created_at=iso(int(ms)),
    )
    match message.get("message"):
        case "pacs.008":
            return render_payment(header, msgspec.json.decode(message["body"], type=Payment))
        case "pacs.004":
            return render_return(header, msgspec.json.decode(message["body"], type=Return))
        case "pacs.002":
            return render_status(header, message["id"], message["status"], message["reason"])
    return None


class _Writer:
    """Elements by path in writing order; what is empty is left out."""

    def __init__(self, kind: str, header: Header) -> None:
        self.namespace = f"https://www.bcb.gov.br/pi/{kind}/{VERSIONS[kind]}"
        self.root = etree.Element(f"{{{self.namespace}}}Envelope", nsmap={None: self.namespace})
        self.text("AppHdr/Fr/FIId/FinInstnId/Othr/Id", header.sender)
        self.text("AppHdr/To/FIId/FinInstnId/Othr/Id", header.receiver)
        self.text("AppHdr/BizMsgIdr", header.msg_id)
        self.text("AppHdr/MsgDefIdr", f"{kind}.spi.{VERSIONS[kind]}")
        self.text("AppHdr/CreDt", header.created_at)

    def text(self, path: str, value: str) -> None:
        if value:
            self._element(path).text = value

    def amount(self, path: str, value: str) -> None:
        element = self._element(path)
        element.text = value
        element.set("Ccy", "BRL")

    def _element(self, path: str) -> etree._Element:
        at = self.root
        for step in self._steps(path):
            last = at[-1] if len(at) else None
            at = last if last is not None and last.tag == step else etree.SubElement(at, step)
        return at

    def _steps(self, path: str) -> Iterator[str]:
        return (f"{{{self.namespace}}}{step}" for step in path.split("/"))

    def bytes(self) -> bytes:
        return bytes(etree.tostring(self.root, xml_declaration=True, encoding="UTF-8"))
