"""What a domain says of its routes, so that a key can be held to it.

Without a word a route of GET reads, every other writes, and a key that is narrowed reaches none: what is forgotten here
is closed. Routes are written as ``GET /pix/participants/{participant}``; ``{}`` stands for any one part of a path.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class Access:
    """The routes of one domain, as far as keys are concerned."""

    bound: str = ""
    """What a key may be narrowed to: ``participant``; empty: to nothing."""
    value: str = ""
    """A regular expression of its values."""
    named: tuple[str, ...] = ()
    """A narrowed key may, for the value that stands in the path under the name of ``bound``."""
    inside: tuple[str, ...] = ()
    """A narrowed key may: the endpoint looks into the body or the record, with ``access.bounds``."""
    reads: tuple[str, ...] = ()
    """Not a GET, and yet it only reads."""
    admin: tuple[str, ...] = field(default=())
    """For the scope ``admin`` alone."""

    def right(self, method: str, path: str) -> str:
        """Which right this needs: ``read``, ``write`` or ``admin``."""
        said = f"{method} {path}"
        if self.admin and self._admin.fullmatch(said):
            return "admin"
        if method in READING or (self.reads and self._reads.fullmatch(said)):
            return "read"
        return "write"

    def bounded(self, method: str, path: str) -> str | None:
        """For a narrowed key: the value that the path names, empty where the endpoint looks, None where it may not."""
        said = f"{method} {path}"
        for pattern in self._named:
            if match := pattern.fullmatch(said):
                return match[self.bound]
        return "" if self._inside.fullmatch(said) else None

    @cached_property
    def _named(self) -> list[re.Pattern[str]]:
        return [_pattern([route]) for route in self.named]

    @cached_property
    def _inside(self) -> re.Pattern[str]:
        return _pattern(self.inside)

    @cached_property
    def _reads(self) -> re.Pattern[str]:
        return _pattern(self.reads)

    @cached_property
    def _admin(self) -> re.Pattern[str]:
        return _pattern(self.admin)


def _pattern(routes: Iterable[str]) -> re.Pattern[str]:
    """No route at all matches nothing."""
    return re.compile("|".join(_one(route) for route in routes) or r"(?!)")


def _one(route: str) -> str:
    parts = re.split(r"\{(\w*)\}", route)
    told = [re.escape(parts[0])]
    for name, rest in zip(parts[1::2], parts[2::2], strict=True):
        told += [f"(?P<{name}>[^/:]+)" if name else "[^/:]+", re.escape(rest)]
    return "".join(told)
