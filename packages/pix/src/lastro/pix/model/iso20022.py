"""The SPI's XML: pacs.008, pacs.002 and pacs.004 envelopes, in and out.

The parser is deaf to everything XML can do beyond elements and text: no DTD, no entities, no network, bounded size.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

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
        sender=reader.text(_FROM),
        receiver=reader.text("AppHdr/To/FIId/FinInstnId/Othr/Id"),
        msg_id=reader.text("AppHdr/BizMsgIdr"),
        created_at=reader.text("AppHdr/CreDt"),
    )
    match kind:
        case "pacs.008":
            return header, _read(reader, Payment, _PAYMENT)
        case "pacs.002":
            return header, _answer(reader)
        case _:
            return header, _read(reader, Return, _RETURN)


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


Message = TypeVar("Message", Payment, Answer, Return)
_FROM: Final = "AppHdr/Fr/FIId/FinInstnId/Othr/Id"
_TX8: Final = "Document/FIToFICstmrCdtTrf/CdtTrfTxInf"
_TX2: Final = "Document/FIToFIPmtStsRpt/TxInfAndSts"
_TX4: Final = "Document/PmtRtr/TxInf"


_HEAD8: Final = "Document/FIToFICstmrCdtTrf/GrpHdr"
_PAYMENT: Final = {
    "end_to_end_id": f"{_TX8}/PmtId/EndToEndId",
    "tx_id": f"{_TX8}/PmtId/TxId",
    "amount": f"{_TX8}/IntrBkSttlmAmt",
    "accepted_at": f"{_TX8}/AccptncDtTm",
    "priority": f"{_HEAD8}/PmtTpInf/InstrPrty",
    "service_level": f"{_HEAD8}/PmtTpInf/SvcLvl/Prtry",
    "local_instrument": f"{_TX8}/MndtRltdInf/Tp/LclInstrm/Prtry",
    "purpose": f"{_TX8}/Purp/Cd",
    "payer": f"{_TX8}/DbtrAgt/FinInstnId/ClrSysMmbId/MmbId",
    "payer_name": f"{_TX8}/Dbtr/Nm",
    "payer_document": f"{_TX8}/Dbtr/Id/PrvtId/Othr/Id",
    "payer_account": f"{_TX8}/DbtrAcct/Id/Othr/Id",
    "payer_branch": f"{_TX8}/DbtrAcct/Id/Othr/Issr",
    "payer_account_type": f"{_TX8}/DbtrAcct/Tp/Cd",
    "payee": f"{_TX8}/CdtrAgt/FinInstnId/ClrSysMmbId/MmbId",
    "payee_document": f"{_TX8}/Cdtr/Id/PrvtId/Othr/Id",
    "payee_account": f"{_TX8}/CdtrAcct/Id/Othr/Id",
    "payee_branch": f"{_TX8}/CdtrAcct/Id/Othr/Issr",
    "payee_account_type": f"{_TX8}/CdtrAcct/Tp/Cd",
    "key": f"{_TX8}/CdtrAcct/Prxy/Id",
    "text": f"{_TX8}/RmtInf/Ustrd",
}
_ANSWER: Final = {
    "end_to_end_id": f"{_TX2}/OrgnlEndToEndId",
    "payee": _FROM,
    "status": f"{_TX2}/TxSts",
    "reason": f"{_TX2}/StsRsnInf/Rsn/Cd",
}
_RETURN: Final = {
    "rtr_id": f"{_TX4}/RtrId",
    "end_to_end_id": f"{_TX4}/OrgnlEndToEndId",
    "amount": f"{_TX4}/RtrdIntrBkSttlmAmt",
    "reason": f"{_TX4}/RtrRsnInf/Rsn/Cd",
    "text": f"{_TX4}/RtrRsnInf/AddtlInf",
}


def element_of(message: Payment | Answer | Return, field: str) -> str:
    """Where an envelope has this field of its message."""
    paths = _PAYMENT if isinstance(message, Payment) else _ANSWER if isinstance(message, Answer) else _RETURN
    return paths.get(field, field)


def _read(reader: _Reader, kind: type[Message], paths: Mapping[str, str]) -> Message:
    """What is not there has the message's own default, or is missing."""
    given = {}
    for each in msgspec.structs.fields(kind):
        path = paths[each.name]
        default = each.default if isinstance(each.default, str) else None
        given[each.name] = reader.amount(path) if each.name == "amount" else reader.text(path, default)
    return msgspec.convert(given, kind)


def _answer(reader: _Reader) -> Answer:
    if reader.text(_ANSWER["status"]) not in {"ACSP", "RJCT"}:
        raise BadXml("a participant answers ACSP or RJCT", _ANSWER["status"])
    return _read(reader, Answer, _ANSWER)


def render_payment(header: Header, order: Payment) -> bytes:
    """A pacs.008 envelope."""
    write = _Writer("pacs.008", header)
    write.text(f"{_HEAD8}/MsgId", header.msg_id)
    write.text(f"{_HEAD8}/CreDtTm", header.created_at)
    write.text(f"{_HEAD8}/NbOfTxs", "1")
    write.text(f"{_HEAD8}/SttlmInf/SttlmMtd", "CLRG")
    write.text(_PAYMENT["priority"], order.priority)
    write.text(_PAYMENT["service_level"], order.service_level)
    write.text(_PAYMENT["end_to_end_id"], order.end_to_end_id)
    write.text(_PAYMENT["tx_id"], order.tx_id)
    write.amount(_PAYMENT["amount"], order.amount)
    write.text(_PAYMENT["accepted_at"], order.accepted_at)
    write.text(f"{_TX8}/ChrgBr", "SLEV")
    write.text(_PAYMENT["local_instrument"], order.local_instrument)
    write.text(_PAYMENT["payer_name"], order.payer_name)
    write.text(_PAYMENT["payer_document"], order.payer_document)
    write.text(_PAYMENT["payer_account"], order.payer_account)
    write.text(_PAYMENT["payer_branch"], order.payer_branch)
    write.text(_PAYMENT["payer_account_type"], order.payer_account_type)
    write.text(_PAYMENT["payer"], order.payer)
    write.text(_PAYMENT["payee"], order.payee)
    write.text(_PAYMENT["payee_document"], order.payee_document)
    write.text(_PAYMENT["payee_account"], order.payee_account)
    write.text(_PAYMENT["payee_branch"], order.payee_branch)
    write.text(_PAYMENT["payee_account_type"], order.payee_account_type)
    write.text(_PAYMENT["key"], order.key)
    write.text(_PAYMENT["purpose"], order.purpose)
    write.text(_PAYMENT["text"], order.text)
    return write.bytes()


def render_return(header: Header, order: Return) -> bytes:
    """A pacs.004 envelope."""
    write = _Writer("pacs.004", header)
    write.text("Document/PmtRtr/GrpHdr/MsgId", header.msg_id)
    write.text("Document/PmtRtr/GrpHdr/CreDtTm", header.created_at)
    write.text("Document/PmtRtr/GrpHdr/NbOfTxs", "1")
    write.text("Document/PmtRtr/GrpHdr/SttlmInf/SttlmMtd", "CLRG")
    write.text(_RETURN["rtr_id"], order.rtr_id)
    write.text(_RETURN["end_to_end_id"], order.end_to_end_id)
    write.amount(_RETURN["amount"], order.amount)
    write.text(_RETURN["reason"], order.reason)
    write.text(_RETURN["text"], order.text)
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
