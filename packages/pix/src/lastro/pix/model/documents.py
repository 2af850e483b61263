"""CPF and CNPJ, the alphanumeric CNPJ of July 2026 included."""

import re
from typing import Final

_CPF: Final = re.compile(r"\d{11}", re.ASCII)
_CNPJ: Final = re.compile(r"[0-9A-Z]{12}\d{2}", re.ASCII)
_CPF_WEIGHTS: Final = (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)
_CNPJ_WEIGHTS: Final = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)


def is_cpf(text: str) -> bool:
    """Eleven digits, not all the same, with the two check digits right."""
    return bool(_CPF.fullmatch(text)) and len(set(text)) > 1 and _checks(text, _CPF_WEIGHTS)


def is_cnpj(text: str) -> bool:
    """Twelve digits or capitals and two check digits; a letter counts as its ASCII code less 48."""
    return bool(_CNPJ.fullmatch(text)) and len(set(text)) > 1 and _checks(text, _CNPJ_WEIGHTS)


def is_document(text: str) -> bool:
    """A CPF or a CNPJ."""
    return is_cpf(text) or is_cnpj(text)


def _checks(text: str, weights: tuple[int, ...]) -> bool:
    values = [ord(char) - 48 for char in text]
    first = _digit(values[:-2], weights[1:])
    return values[-2] == first and values[-1] == _digit([*values[:-2], first], weights)


def _digit(values: list[int], weights: tuple[int, ...]) -> int:
    rest = sum(value * weight for value, weight in zip(values, weights, strict=True)) % 11
    return 0 if rest < 2 else 11 - rest  # noqa: PLR2004 - modulo 11: a remainder of 0 or 1 gives digit 0
