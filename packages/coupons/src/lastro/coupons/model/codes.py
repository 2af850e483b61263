"""Coupon codes: Crockford's base 32, unguessable, with a check character that tells a typing mistake.

``7ZQK-4M2P-XW9D-H`` is 60 bits of a keyed BLAKE2b (RFC 7693) of the issuance id, and one check character (the number
modulo 37).
"""

import random
import struct
import time
from functools import lru_cache
from hashlib import blake2b

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CHECK = ALPHABET + "*~$=U"
DIGITS = 12
_READ = {**{letter: at for at, letter in enumerate(ALPHABET)}, "O": 0, "I": 1, "L": 1}
_MASK, _ONE_GROUP, _TWO_GROUPS = (1 << 20) - 1, (1 << 20) % 37, (1 << 40) % 37
_words = struct.Struct(">III").unpack
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]


def code_of(secret: bytes, issuance_id: str) -> str:
    """The code of an issuance: who does not have the secret cannot tell one from another."""
    keyed = _keyed(secret).copy()
    keyed.update(issuance_id.encode())
    first, second, third = _words(keyed.digest())
    first, second, third = first & _MASK, second & _MASK, third & _MASK  # 20 bits each: small numbers are fast ones
    check = CHECK[(first * _TWO_GROUPS + second * _ONE_GROUP + third) % 37]
    return (
        f"{_PAIRS[first >> 10]}{_PAIRS[first & 1023]}-{_PAIRS[second >> 10]}{_PAIRS[second & 1023]}"
        f"-{_PAIRS[third >> 10]}{_PAIRS[third & 1023]}-{check}"
    )


@lru_cache(4)
def _keyed(secret: bytes) -> blake2b:
    """A quarter of the price of an HMAC, and copied for each code."""
    return blake2b(key=blake2b(secret).digest(), digest_size=12)


def read_code(text: str) -> str:
    """As we write it, however it was typed: small letters, O for 0, I or L for 1. ValueError says what is wrong."""
    plain = text.strip().upper().replace("-", "").replace(" ", "")
    if len(plain) != DIGITS + 1:
        raise ValueError(f"a code has {DIGITS + 1} characters, not {len(plain)}")
    digits, check = plain[:DIGITS], plain[DIGITS]
    number = 0
    for letter in digits:
        if letter not in _READ:
            raise ValueError(f"no code has a {letter!r}")
        number = number * 32 + _READ[letter]
    if check in "OIL":
        check = CHECK[_READ[check]]
    if CHECK[number % 37] != check:
        raise ValueError("the check character is another: look for a typing mistake")
    written = "".join(ALPHABET[_READ[letter]] for letter in digits)
    return f"{written[:4]}-{written[4:8]}-{written[8:]}-{check}"


def new_id() -> str:
    """A UUID of version 7: ids of later issuances are greater, so that the index of a database grows at its end."""
    # distinct is enough, the code is what nobody may guess; the system's own chance costs 20 µs
    number = (time.time_ns() // 1_000_000) << 80 | random.getrandbits(80)
    number = number & ~(0xF000 << 64) | 0x7000 << 64
    number = number & ~(0xC000 << 48) | 0x8000 << 48
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
