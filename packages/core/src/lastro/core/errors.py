"""Every failure we expect, as a type.

* LastroError
  x Invalid       -> 422  (the input is wrong; it names the field)
  x Unauthorized  -> 401  · Forbidden -> 403
  x NotFound      -> 404
  x Refused       -> 409  (a rule of the business said no; asking again changes nothing)
  x TooFast       -> 429  (*you* ask too often)
  x Busy          -> 503  (*we* cannot just now; asking again may help)
    · Unreachable      nothing was sent, or the server refused it: it did not happen
    · OutcomeUnknown   it was sent and the answer is missing: repeat it under the same id
  x Fault         -> 500  (an operator has to look)

A leaf has a ``code`` and a docstring whose first paragraph is its sentence; ``{name}`` in it is filled from the
keywords it is raised with, which travel to the client as members of the problem document.
"""

import inspect
import re
from typing import ClassVar


class LastroError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "lastro.error"
    status: ClassVar[int] = 500

    def __init__(self, **about: object) -> None:
        self.about = about
        super().__init__(self.sentence().format_map(about))

    @classmethod
    def sentence(cls) -> str:
        """What it says, before anything is filled in."""
        return " ".join(inspect.cleandoc(cls.__doc__ or cls.code).split("\n\n", 1)[0].split())


class Invalid(LastroError):
    """{field}: {reason}."""

    code = "lastro.invalid"
    status = 422


class Unauthorized(LastroError):
    """This needs a valid key."""

    code = "lastro.unauthorized"
    status = 401


class Forbidden(LastroError):
    """This key does not open that."""

    code = "lastro.forbidden"
    status = 403


class NotFound(LastroError):
    """There is no such thing."""

    code = "lastro.not_found"
    status = 404


class Refused(LastroError):
    """A rule says no."""

    code = "lastro.refused"
    status = 409


class TooLarge(LastroError):
    """The body is larger than {limit_bytes} bytes."""

    code = "lastro.too_large"
    status = 413


class TooFast(LastroError):
    """You ask too often; ask again in {retry_after_seconds} s."""

    code = "lastro.too_fast"
    status = 429


class Busy(LastroError):
    """Not just now; ask again in {retry_after_seconds} s."""

    code = "lastro.busy"
    status = 503

    def __init__(self, **about: object) -> None:
        super().__init__(**{"retry_after_seconds": 1, **about})


class Unreachable(Busy):
    """The store cannot take this now ({reason}); nothing was changed."""

    code = "lastro.unreachable"


class OutcomeUnknown(Busy):
    """The store's answer is missing ({reason}): it may have happened. Ask again with the same id."""

    code = "lastro.outcome_unknown"


class Fault(LastroError):
    """The store refused a command that should be right: {reason}."""

    code = "lastro.fault"


def field_of(error: Exception) -> str:
    """The field that a decoder of JSON complains of, as the caller wrote it; ``body`` when it is about the whole."""
    found = _NAMED.search(str(error))
    return (found[1] or found[2]) if found else "body"


_NAMED = re.compile(r" field `([^`]+)`| at `\$\.?([^`]+)`")


class Misconfigured(LastroError):
    """{setting}: {reason}."""

    code = "lastro.misconfigured"
