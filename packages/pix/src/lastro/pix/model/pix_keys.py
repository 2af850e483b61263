"""The five kinds of Pix key, as the DICT writes them."""

import re
from typing import Final, Literal

from .documents import is_cnpj, is_cpf

KeyType = Literal["PHONE", "EMAIL", "EVP", "CPF", "CNPJ"]

EMAIL_MAX: Final = 77

_PHONE: Final = re.compile(r"\+[1-9]\d{2,15}", re.ASCII)
_EVP: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_EMAIL: Final = re.compile(
    r"[a-z0-9.!#$'*+/=?^_`{|}~-]+@[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)


def key_type(text: str) -> KeyType | None:
    """Which kind of key this is; None when it is none."""
    if _PHONE.fullmatch(text):
        return "PHONE"
    if _EVP.fullmatch(text):
        return "EVP"
    if is_cpf(text):
        return "CPF"
    if is_cnpj(text):
        return "CNPJ"
    if len(text) <= EMAIL_MAX and _EMAIL.fullmatch(text):
        return "EMAIL"
    return None
