"""Dead letters: what nobody could process, with its reason. Listed, shown, replayed, discarded."""

from dataclasses import dataclass
from typing import Any

import msgspec

from lastro.core.keys import Key
from lastro.core.streams import scripts as streams
from lastro.pix import scripts
from lastro.pix.errors import LetterCutOff, NoSuchLetter

from .intake import ENTRY_ID, MESSAGE, after_entry, restored
from .pix import Pix

PAGE_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    id: str
    source: str
    """The stream it came from."""
    entry_id: str
    """Where it was in there."""
    code: str
    """The SPI's."""
    reason: str
    deliveries: int
    fields: dict[str, str]
    """As it came; bytes that are no text are escaped."""
    cut_off: bool
    """It was too long to be kept whole, and cannot be replayed."""


async def letters(pix: Pix, *, after: str = "-", count: int = 100) -> list[Letter]:
    """A page of them, oldest first; the next page begins after the last id of this one."""
    found = await pix.read.xrange(pix.keys.dead, min=after_entry(after), count=min(count, PAGE_MAX))
    return [_letter(*entry) for entry in found]


async def letter(pix: Pix, letter_id: str) -> Letter:
    """One of them. Raises NoSuchLetter."""
    return _letter(*await _find(pix, letter_id))


async def replay(pix: Pix, letter_id: str) -> bool:
    """Put one back where it came from; False when another did. Raises NoSuchLetter, LetterCutOff.

    A payment that was settled meanwhile is recognised by its id: replaying twice pays once.
    """
    _, fields = await _find(pix, letter_id)
    pairs = restored(fields[b"fields"])
    if pairs is None:
        raise LetterCutOff(letter=letter_id)
    source, write, dead = Key(fields[b"source"].decode()), pix.hub.write, pix.keys.dead
    if pix.settings.mode == "list" and pairs[0] == MESSAGE:
        word = await scripts.replay_message(write, dead=dead, source=source, letter=letter_id, message=pairs[1])
    else:
        word = await scripts.replay(write, dead=dead, source=source, letter=letter_id, fields=pairs)
    return word == "replayed"


async def discard(pix: Pix, letter_id: str) -> bool:
    """Throw one away; False when another did. Raises NoSuchLetter."""
    await _find(pix, letter_id)
    return await streams.discard(pix.hub.write, dead=pix.keys.dead, ids=[letter_id.encode()]) == 1


async def _find(pix: Pix, letter_id: str) -> tuple[bytes, dict[bytes, bytes]]:
    if not ENTRY_ID.fullmatch(letter_id):
        raise NoSuchLetter(letter=letter_id[:40])
    found: Any = await pix.read.xrange(pix.keys.dead, min=letter_id, max=letter_id, count=1)
    if not found:
        raise NoSuchLetter(letter=letter_id)
    entry: tuple[bytes, dict[bytes, bytes]] = found[0]
    return entry


def _letter(entry: bytes, fields: dict[bytes, bytes]) -> Letter:
    kept = msgspec.json.decode(fields[b"fields"])
    return Letter(
        id=entry.decode(),
        source=fields[b"source"].decode(),
        entry_id=fields[b"entry_id"].decode(),
        code=fields[b"code"].decode(),
        reason=fields[b"reason"].decode(),
        deliveries=int(fields[b"deliveries"]),
        fields=kept["fields"],
        cut_off=bool(kept.get("cut_off")),
    )
