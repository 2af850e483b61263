"""Every failure we expect, as a type with a sentence, a code and a status."""

import pkgutil
from importlib import import_module

import pytest
import redis.exceptions as theirs

import lastro.core
from lastro.core.errors import Busy, Fault, Invalid, LastroError, OutcomeUnknown, Unreachable
from lastro.core.redis.failures import ours

UNTRANSLATED = {"NoScriptError"}  # the script registry deals with it
NEEDS_ARGUMENTS = {"AskError": "1 127.0.0.1:1", "MovedError": "1 127.0.0.1:1"}


def _every(base: type[BaseException]) -> list[type[BaseException]]:
    return [base, *(leaf for child in base.__subclasses__() for leaf in _every(child))]


def _theirs() -> list[type[BaseException]]:
    return sorted(
        {
            error
            for error in vars(theirs).values()
            if isinstance(error, type)
            and issubclass(error, BaseException)
            and error is not theirs.RedisError
            and error.__module__ == theirs.__name__
        },
        key=lambda error: error.__name__,
    )


@pytest.mark.parametrize("error", _theirs(), ids=lambda error: error.__name__)
def test_every_error_of_redis_py_has_one_of_ours(error: type[BaseException]) -> None:
    """Fails when redis-py gains one that nobody decided about."""
    raised = error(NEEDS_ARGUMENTS.get(error.__name__, "words"))
    known = ours(raised)
    assert (known is None) == (error.__name__ in UNTRANSLATED), error.__name__


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (theirs.ConnectionError("reset"), OutcomeUnknown),
        (theirs.TimeoutError("slow"), OutcomeUnknown),
        (ConnectionResetError("reset"), OutcomeUnknown),
        (theirs.BusyLoadingError("LOADING"), Unreachable),
        (theirs.ReadOnlyError("READONLY"), Unreachable),
        (theirs.MasterDownError("MASTERDOWN"), Unreachable),
        (theirs.ClusterDownError("CLUSTERDOWN"), Unreachable),
        (theirs.OutOfMemoryError("OOM"), Unreachable),
        (theirs.MovedError("1 127.0.0.1:1"), Unreachable),
        (theirs.ResponseError("IOERR error or timeout reading from target instance"), OutcomeUnknown),
        (theirs.ResponseError("MISCONF errors writing to the AOF file"), Unreachable),
        (theirs.ResponseError("WRONGTYPE"), Fault),
        (theirs.NoPermissionError("NOPERM"), Fault),
        (theirs.AuthenticationError("WRONGPASS"), Fault),
    ],
)
def test_a_failure_is_transient_ambiguous_or_permanent(error: Exception, expected: type[LastroError]) -> None:
    assert type(ours(error)) is expected


def test_an_error_of_somebody_else_is_not_ours_to_name() -> None:
    assert ours(ValueError("x")) is None


def test_a_sentence_takes_its_words_from_what_the_error_is_about() -> None:
    error = Invalid(field="amount", reason="not whole cents")
    assert str(error) == "amount: not whole cents."
    assert error.about == {"field": "amount", "reason": "not whole cents"}


def test_being_busy_says_when_to_come_again() -> None:
    assert Busy().about == {"retry_after_seconds": 1}
    assert str(Unreachable(reason="no connection")) == (
        "The store cannot take this now (no connection); nothing was changed."
    )


def test_every_error_has_a_code_of_its_own_and_a_sentence() -> None:
    for module in pkgutil.walk_packages(lastro.core.__path__, "lastro.core."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    leaves = [error for error in _every(LastroError) if error.__module__.startswith("lastro.core")]
    codes = [error.code for error in leaves if issubclass(error, LastroError)]
    assert len(set(codes)) == len(codes), "two errors share a code"
    assert all(error.__doc__ and error.__doc__.split("\n")[0].endswith(".") for error in leaves)
