"""The SPI's rules for one payment order: which fields go together, and which code says that they do not."""

from typing import Final

from .documents import is_document
from .pix_keys import key_type

KEYED: Final = frozenset({"DICT", "QRDN", "QRES", "INIC", "APDN", "APES"})
KEYLESS: Final = frozenset({"MANU", "AUTO"})
INSTRUMENTS: Final = KEYED | KEYLESS

TX_ID_LENGTHS: Final = {
    "MANU": (0, 0),
    "DICT": (0, 0),
    "QRDN": (26, 35),
    "APDN": (26, 35),
    "INIC": (0, 25),
    "QRES": (0, 25),
    "APES": (0, 25),
    "AUTO": (0, 35),
}
"""Instrument → least and most characters of its txid; 0 as least means it may be absent."""

PURPOSES: Final = frozenset({"IPAY", "GSCB", "OTHR", "REFU", "IPRT"})
SERVICE_LEVELS: Final = {"HIGH": frozenset({"PAGPRI"}), "NORM": frozenset({"PAGAGD", "PAGFRD"})}
PAYER_ACCOUNTS: Final = frozenset({"CACC", "SVGS", "TRAN", "SLRY", "OTHR"})
PAYEE_ACCOUNTS: Final = PAYER_ACCOUNTS - {"SLRY"}


def key_breach(instrument: str, key: str) -> str:
    """What is wrong between instrument and Pix key; empty when nothing is."""
    if instrument in KEYLESS:
        return f"{instrument} takes no Pix key" if key else ""
    if not key:
        return f"{instrument} needs a Pix key"
    return "" if key_type(key) else "that is no Pix key"


def tx_id_breach(instrument: str, tx_id: str) -> str:
    """What is wrong between instrument and txid; empty when nothing is."""
    least, most = TX_ID_LENGTHS[instrument]
    if not tx_id:
        return f"{instrument} needs a txid" if least else ""
    if not (tx_id.isascii() and tx_id.isalnum()):
        return "a txid is letters and digits"
    return "" if least <= len(tx_id) <= most else f"{instrument} does not take a txid of {len(tx_id)} characters"


def document_breach(document: str) -> str:
    """What is wrong with a CPF or CNPJ; empty when nothing is, or none is given."""
    return "" if not document or is_document(document) else "that is no CPF or CNPJ"
