"""redis-py's errors, and which of ours each one is.

Unreachable: it did not happen. OutcomeUnknown: it may have. Fault: an operator has to look. A missing script stays
NoScriptError, since `lastro.core.scripts` deals with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import redis.exceptions as theirs

from lastro.core.errors import Fault, LastroError, OutcomeUnknown, Unreachable


class NeverSent(theirs.ConnectionError):
    """Connecting failed, or no connection was free in time: nothing reached the server."""


class SlotMoving(theirs.ResponseError):
    """The slot of a script's keys is being moved to another server; until it is there, no script runs on them."""


_REFUSED_FOR_NOW = (
    NeverSent,
    SlotMoving,
    theirs.BusyLoadingError,
    theirs.ReadOnlyError,
    theirs.ClusterDownError,  # MasterDownError is one
    theirs.TryAgainError,
    theirs.AskError,  # MovedError is one; a redirect that was not followed was not executed
    theirs.OutOfMemoryError,
    theirs.MaxConnectionsError,
    theirs.SlotNotCoveredError,
)
_WRONG = (
    theirs.AuthenticationError,
    theirs.AuthorizationError,
    theirs.ExternalAuthProviderError,
    theirs.ResponseError,
    theirs.DataError,
    theirs.PubSubError,
    theirs.WatchError,
    theirs.LockError,
    theirs.ClusterError,
    theirs.RedisClusterException,
    theirs.ChildDeadlockedError,
    theirs.IncorrectPolicyType,
)
_SENT = (theirs.ConnectionError, theirs.TimeoutError, theirs.InvalidResponse, OSError)
_FOR_NOW_WORDS = (
    *("READONLY", "OOM ", "LOADING", "BUSY ", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "MISCONF", "UNBLOCKED"),
    *("TTL exhausted", "Redis Cluster cannot be connected"),  # redis-py's: redirects without end, nobody there
)


def _told(error: BaseException) -> str:
    """The server's words; before 7.0 a script's are wrapped: ``Error running script (…): @user_script:9: -OOM …``."""
    told = str(error)
    if told.startswith(("Error running script", "@user_script")):
        told = told.partition(": -")[2] or told
    return told.removeprefix("-")


def demoted(error: BaseException) -> bool:
    """Whether it is of a server that is no primary any more."""
    return isinstance(error, theirs.ReadOnlyError) or _told(error).startswith("READONLY")


def ours(error: BaseException) -> LastroError | None:
    """Our error for one of redis-py's, by the first group that fits; None for what is not about the store."""
    if isinstance(error, _REFUSED_FOR_NOW):
        return Unreachable(reason=str(error) or type(error).__name__)
    if isinstance(error, theirs.NoScriptError):
        return None
    if isinstance(error, _WRONG):
        words = _told(error)
        if words.startswith("IOERR"):  # between two servers, in MIGRATE
            return OutcomeUnknown(reason=words)
        return Unreachable(reason=words) if words.startswith(_FOR_NOW_WORDS) else Fault(reason=words)
    if isinstance(error, _SENT):
        return OutcomeUnknown(reason=str(error) or type(error).__name__)
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Inside, redis-py's errors become ours."""
    try:
        yield
    except (theirs.RedisError, theirs.RedisClusterException, theirs.ChildDeadlockedError, OSError) as error:
        if (known := ours(error)) is None:
            raise
        raise known from error
