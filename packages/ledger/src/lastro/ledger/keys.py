"""Every key the ledger owns.

A ledger lives in one keyspace, whose hash tag puts it in one cluster slot. The scripts build the keys themselves, from
the keyspace and the ids in their arguments: the one exception to the rule of declared keys, because the ids of a
transfer are inside its 128-byte record. What they build is listed here, and only here is a keyspace spelled.

``{id}`` is the decimal number below 2^48 and the 16 bytes of the id, little endian, from there on: a decimal has at
most 15 characters, so the two never meet, and a decimal with what follows it in ``account:{id}:…`` has more than 16.
(``transfer:{id}:metadata`` could have just 16, so it is ``metadata:{id}``.)
All of it is permanent: a ledger is history.

==========================================  ===========================================================================
``account:{id}``                            string; index entries that wait, balances, flags, ledger, place in the log
``account:{id}:transfers:debits:{n}``       string; 6 bytes per transfer, its place in the log; 1,000,000 per segment n
``account:{id}:transfers:credits:{n}``      likewise
``account:{id}:balance_history``            hash, only with the history flag; place of the transfer → 64 bytes
``transfer:{id}``                           number, 8 times the place in the log plus the status (0 plain, 1 pending, 2
                                            posted, 3 voided, 4 expired); empty: a burnt id
``metadata:{id}``                           string; JSON beside a transfer, if any was given
``log:transfers:{n}``                       string; 128-byte records by timestamp; 1,023 per segment n; one that is in
                                            the archive is missing here, or back for a while
``log:accounts:{n}``                        string; id, timestamp, user data, ledger, code; 58 bytes; likewise
``state``                                   string, 48 bytes: newest timestamps (of all, accounts, transfers), next
                                            expiry, number of accounts, of transfers, length of the change stream
``expiries``                                sorted set of pending transfers with a timeout, by the instant they expire
``crossings``                               sorted set of reservations for other shards, by when (ms), until settled
``restored``                                string; a mark of who brought segments back from the archive last: "open",
                                            since when (ms) and a token, or "closed" and a token; who drops a segment
                                            must have seen this one, closed, before it was archived
``shards``                                  string, on the first shard of a ledger: how many there are
``changes``                                 stream; one entry per created account, created transfer and expiry
==========================================  ===========================================================================
"""

from collections.abc import Iterable
from itertools import count

from lastro.core.keys import SLOTS, Key, slot

PERMANENT: tuple[str, ...] = ("{ledger:*}:*", "{*}:movements", "*payments_final")
"""What has no life of its own, as glob patterns; everything else must expire. The last two are other domains' streams,
where posting adds a consumer group; their owners trim them.
"""

_SMALL = bytes(10)

OWNED = PERMANENT
"""All that the ledger touches, as glob patterns, for access lists."""


def keyspace(ledger: str) -> Key:
    """The prefix of all keys of one ledger."""
    return Key(f"{{ledger:{ledger}}}:")


def changes(ledger: str) -> Key:
    """Stream; one entry per change, in the order of commits; trimmed (see worker.py)."""
    return Key(f"{keyspace(ledger)}changes")


def state(ledger: str) -> Key:
    """String; the ledger's counters."""
    return Key(f"{keyspace(ledger)}state")


def expiries(ledger: str) -> Key:
    """Sorted set; the pending transfers that will expire."""
    return Key(f"{keyspace(ledger)}expiries")


def crossings(ledger: str) -> Key:
    """Sorted set; the reservations here for transfers to other shards."""
    return Key(f"{keyspace(ledger)}crossings")


def restored(ledger: str) -> Key:
    """String; a mark of who brought segments back from the archive last."""
    return Key(f"{keyspace(ledger)}restored")


def shards(ledger: str) -> Key:
    """String; how many shards a ledger has, for good."""
    return Key(f"{keyspace(ledger)}shards")


def shard(ledger: str, number: int, total: int) -> str:
    """The name of one shard: such that the slots of all of them divide a cluster's evenly."""
    for salt in count():
        name = f"{ledger}.{number}" + (f"-{salt}" if salt else "")
        if slot(keyspace(name)) * total // SLOTS == number:
            return name
    raise AssertionError


def account(ledger: str, account_id: int) -> bytes:
    """String; one account."""
    return keyspace(ledger).encode() + b"account:" + _name(account_id)


def index(account_key: bytes, side: str, segment: int) -> bytes:
    """String; places of an account's debits, or of its credits."""
    return account_key + f":transfers:{side}:{segment}".encode()


def history(account_key: bytes) -> bytes:
    """Hash; an account's balances after each of its transfers."""
    return account_key + b":balance_history"


def log(ledger: str, kind: str, segment: int) -> Key:
    """String; records by timestamp, of ``accounts`` or ``transfers``."""
    return Key(f"{keyspace(ledger)}log:{kind}:{segment}")


def transfer(ledger: str, transfer_id: int) -> bytes:
    """String; where a transfer is in the log and what became of it."""
    return keyspace(ledger).encode() + b"transfer:" + _name(transfer_id)


def transfers(ledger: str, ids: Iterable[bytes]) -> list[bytes]:
    """Those of many, by the 16 bytes of their ids."""
    start = keyspace(ledger).encode() + b"transfer:"
    return [start + (each if each[6:] != _SMALL else b"%d" % int.from_bytes(each, "little")) for each in ids]


def metadata(ledger: str, transfer_id: int) -> bytes:
    """String; the JSON beside a transfer."""
    return keyspace(ledger).encode() + b"metadata:" + _name(transfer_id)


def _name(number: int) -> bytes:
    return b"%d" % number if number < 1 << 48 else number.to_bytes(16, "little")
