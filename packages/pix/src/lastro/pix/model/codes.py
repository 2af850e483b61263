"""Why the SPI, or a receiver's bank, says no: the reason codes of pacs.002 and pacs.004."""

from typing import Final

SPI_CODES: Final = {
    "AB03": "the settlement timed out",
    "AB11": "the payer's bank timed out",
    "AG12": "both accounts are in one institution",
    "AG13": "a return cannot be returned",
    "AGNT": "wrong settling institution",
    "AM01": "the amount is zero",
    "AM04": "the payer's bank has no funds in its Conta PI",
    "AM09": "the return is above what is left of the original",
    "AM12": "the amount is not valid",
    "AM18": "the number of transactions is not valid",
    "CH16": "the content breaks a rule of the message",
    "DS0G": "the signer is not allowed",
    "DS27": "the participant is not active",
    "DT02": "the date is not valid",
    "DT05": "the return is too late",
    "ED05": "settlement failed",
    "FF07": "the purpose is not valid",
    "FF08": "the EndToEndId is not valid",
    "RC09": "the payer's ISPB is unknown",
    "RC10": "the receiver's ISPB is unknown",
}
"""Raised by the SPI, with the sentence a person reads."""

RECEIVER_CODES: Final = {
    "AB09": "internal error at the receiver's bank",
    "AC03": "no such account",
    "AC06": "the account is blocked",
    "AC07": "the account is closed",
    "AC14": "wrong account type",
    "AG03": "not supported by this account",
    "AM02": "above the account's limit",
    "AM09": "the return is above the original",
    "BE01": "the CPF or CNPJ is not the holder's",
    "BE17": "the QR code was refused",
    "CH11": "the CPF or CNPJ is not valid",
    "DS04": "refused by the receiver's bank",
    "DUPL": "the reconciliation id was already paid",
    "ED05": "settlement failed",
    "FRAD": "suspected fraud",
    "RR04": "the payer is under sanction",
    "SL02": "the service is not available",
    "UPAY": "the payment is undue",
}
"""What a receiver's bank may answer with RJCT."""

RETURN_REASONS: Final = {
    "BE08": "bank error",
    "FR01": "fraud",
    "MD06": "the receiver wished it",
    "SL02": "Pix Saque or Pix Troco",
}
"""Why a payment is given back (pacs.004)."""


def sentence(code: str) -> str:
    """The sentence for a code, or the code itself where we know none."""
    return SPI_CODES.get(code) or RECEIVER_CODES.get(code) or RETURN_REASONS.get(code) or code
