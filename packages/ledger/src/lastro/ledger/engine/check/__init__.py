"""Recompute everything from the log of transfers, and say what differs: keys, balances, indexes, histories, expiries.

Also while traffic runs: accounts are read together with the number of transfers that made them, and compared there.
"""

from collections.abc import Callable

from lastro.core.errors import Fault
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.replay import decimal
from lastro.ledger.model.stored import EXPIRED, POSTED, VOIDED, StoredState, place_and_status

from .accounts import Accounts
from .expiries import compare_expiries
from .look import Look, Unsound
from .strangers import Strangers

STATES = {POSTED, VOIDED, EXPIRED}


async def check(ledger: Ledger, told: Callable[[int, int], None] = lambda _done, _total: None) -> list[str]:
    """What does not add up: nothing, or sentences that name the first transfer, or the accounts, that are wrong.

    ``told`` hears how many transfers were looked at, and how many there are.
    """
    look = Look(ledger, told)
    try:
        if state := await look.state():
            await _compare(look, state)
    except Unsound as unsound:
        look.findings.append(str(unsound))
    except Fault as fault:
        if "WRONGTYPE" not in str(fault):
            raise
        look.findings.append(f"a key is not of its type: {fault}")
    return look.findings


async def _compare(look: Look, state: StoredState) -> None:
    accounts = Accounts(look)
    await accounts.read(state.accounts)
    look.replay.history = frozenset(await accounts.keeping_history())
    await look.advance(state.transfers)
    for kind, said, newest in (
        ("account", state.newest_account, accounts.newest),
        ("transfer", state.newest_transfer, look.replay.newest),
        ("timestamp", state.newest, max(accounts.newest, look.replay.newest)),
    ):
        if said < newest:
            look.find(f"the newest {kind} is of {newest}, the state says {said}")
    await look.expire()
    await accounts.compare()
    await _settled(look)
    await compare_expiries(look)
    if (posted := accounts.all_posted) and posted[0] != posted[1]:
        look.find(f"posted debits are {posted[0]}, posted credits {posted[1]}")
    strangers = list(look.replay.sums.keys() - set(accounts.ids))
    unknown = [each for each, value in zip(strangers, await look.values(strangers), strict=True) if value is None]
    if unknown:
        look.find(f"{len(unknown)} accounts have transfers and are not there")
    await Strangers(look, accounts).find()


async def _settled(look: Look) -> None:
    """Whether something is marked as settled that nothing settles: neither a transfer nor time."""
    waiting = list(look.replay.pending)
    said = await look.said(waiting)
    settled = {each for each, value in zip(waiting, said, strict=True) if place_and_status(value)[1] in STATES}
    if state := await look.state():
        await look.advance(state.transfers)
    await look.expire()
    for each in settled & look.replay.pending.keys():
        look.find(f"transfer {decimal(each)} is marked as settled, and nothing settles it")
