"""The rules once more, as a small model in memory; random requests must have the same answers from both.

The model is written from the order of validation, not from the scripts: a second opinion on every code, timestamp,
balance and filter, with numbers around 2^53, 2^64 and 2^128, where doubles and words end.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lastro.core.redis import Hub
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.check import check
from lastro.ledger.engine.pages import everything
from lastro.ledger.model.codes import AccountCode as A
from lastro.ledger.model.codes import AccountFlag as AF  # noqa: N817  # tables of flags want short names
from lastro.ledger.model.codes import TransferCode as T
from lastro.ledger.model.codes import TransferFlag as TF  # noqa: N817  # likewise
from lastro.ledger.model.records import U128_MAX, Account, AccountFilter, QueryFilter, Transfer
from lastro.ledger.settings import LedgerSettings

pytestmark = pytest.mark.anyio

I63 = (1 << 63) - 1
SETTLING = TF.POST_PENDING_TRANSFER | TF.VOID_PENDING_TRANSFER
DATA = ("user_data_128", "user_data_64", "user_data_32")
BURNING = frozenset(
    {
        T.DEBIT_ACCOUNT_NOT_FOUND,
        T.CREDIT_ACCOUNT_NOT_FOUND,
        T.PENDING_TRANSFER_NOT_FOUND,
        T.EXCEEDS_CREDITS,
        T.EXCEEDS_DEBITS,
        T.DEBIT_ACCOUNT_ALREADY_CLOSED,
        T.CREDIT_ACCOUNT_ALREADY_CLOSED,
    }
)
"""After these the id can never be used again."""
Verdict = tuple[int, int]


class Model:
    """Accounts, transfers, what became of pending ones, burnt ids. ``undo`` puts back what a chain changed."""

    def __init__(self) -> None:
        self.accounts: dict[int, Account] = {}
        self.transfers: dict[int, Transfer] = {}
        self.fate: dict[int, str] = {}
        self.burnt: set[int] = set()
        self.undo: list[Callable[[], Any]] = []

    def put(self, table: dict[int, Any], key: int, value: Any) -> None:
        if key in table:
            self.undo.append(lambda old=table[key]: table.__setitem__(key, old))  # type: ignore[misc]
        else:
            self.undo.append(lambda: table.pop(key))
        table[key] = value

    def request(self, events: list[Any], first_slot: int, kind: type[Any]) -> list[Verdict]:
        linked, imported = kind.LINKED.value, kind.IMPORTED.value
        judge, codes = (self.account, A) if kind is AF else (self.transfer, T)
        end, answers, chain, failed = first_slot + len(events) - 1, list[Verdict](), list[int](), False
        for number, event in enumerate(events):
            slot = first_slot + number
            if event.flags & linked or chain:
                if not chain:
                    self.undo, failed = [], False
                chain.append(number)
            if event.flags & linked and number == len(events) - 1:
                code, stamp = int(codes.LINKED_EVENT_CHAIN_OPEN), slot
            elif failed:
                code, stamp = int(codes.LINKED_EVENT_FAILED), slot
            else:
                code, stamp = self.timed(event, imported, events[0].flags & imported, slot, end, codes, judge)
            if code and chain and not failed:
                failed = True
                while self.undo:
                    self.undo.pop()()
                for before in chain[:-1]:
                    answers[before] = (int(codes.LINKED_EVENT_FAILED), first_slot + before)
            if codes is T and code in BURNING:
                self.burnt.add(event.id)
            answers.append((code, stamp))
            if not event.flags & linked:
                chain, failed = [], False
        return answers

    def timed(
        self, event: Any, bit: int, wanted: int, slot: int, end: int, codes: Any, judge: Callable[[Any, int], Any]
    ) -> Verdict:
        if event.flags & bit != wanted:
            return codes.IMPORTED_EVENT_EXPECTED if wanted else codes.IMPORTED_EVENT_NOT_EXPECTED, slot
        if not event.flags & bit:
            if event.timestamp:
                return codes.TIMESTAMP_MUST_BE_ZERO, slot
            found = judge(event, slot)
        elif not 1 <= event.timestamp <= I63:
            return codes.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE, slot
        elif event.timestamp >= end:
            return codes.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE, slot
        else:
            found = judge(event, slot)
        return (int(found[0]), found[1]) if isinstance(found, tuple) else (int(found), slot)

    # accounts

    def account(self, a: Account, slot: int) -> Any:
        old = self.accounts.get(a.id)
        names = ("flags", *DATA, "ledger", "code")
        both = AF.DEBITS_MUST_NOT_EXCEED_CREDITS | AF.CREDITS_MUST_NOT_EXCEED_DEBITS
        newest = max((each.timestamp for each in self.accounts.values()), default=0)
        clash = any(each.timestamp == a.timestamp for each in self.transfers.values())
        balances = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
        for fault, code in (
            (a.reserved, A.RESERVED_FIELD),
            (a.flags >= 1 << 6, A.RESERVED_FLAG),
            (a.id == 0, A.ID_MUST_NOT_BE_ZERO),
            (a.id == U128_MAX, A.ID_MUST_NOT_BE_INT_MAX),
            *((old and getattr(a, f) != getattr(old, f), A[f"EXISTS_WITH_DIFFERENT_{f.upper()}"]) for f in names),
        ):
            if fault:
                return code
        if old:
            return A.EXISTS, old.timestamp
        for fault, code in (
            (a.flags & both == both, A.FLAGS_ARE_MUTUALLY_EXCLUSIVE),
            *((getattr(a, f), A[f"{f.upper()}_MUST_BE_ZERO"]) for f in balances),
            (a.ledger == 0, A.LEDGER_MUST_NOT_BE_ZERO),
            (a.code == 0, A.CODE_MUST_NOT_BE_ZERO),
            (a.flags & AF.IMPORTED and (a.timestamp <= newest or clash), A.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS),
        ):
            if fault:
                return code
        stamp = a.timestamp if a.flags & AF.IMPORTED else slot
        self.put(self.accounts, a.id, replace(a, timestamp=stamp))
        return A.OK, stamp

    # transfers

    def transfer(self, t: Transfer, slot: int) -> Any:
        if t.flags >= 1 << 9:
            return T.RESERVED_FLAG
        if t.id in {0, U128_MAX}:
            return T.ID_MUST_NOT_BE_ZERO if t.id == 0 else T.ID_MUST_NOT_BE_INT_MAX
        if t.id in self.transfers:
            return self.existing(t, self.transfers[t.id])
        if t.id in self.burnt:
            return T.ID_ALREADY_FAILED
        try:
            return self.settle(t, slot) if t.flags & SETTLING else self.move(t, slot)
        except Refusal as refusal:
            return refusal.code

    def existing(self, t: Transfer, old: Transfer) -> Any:
        p = self.transfers.get(old.pending_id, Transfer())
        settles = bool(t.flags & SETTLING)
        every = U128_MAX if t.flags & TF.POST_PENDING_TRANSFER else 0
        amount = t.amount == old.amount
        if settles and t.amount == every:
            amount = old.amount == p.amount
        elif t.flags & (TF.BALANCING_DEBIT | TF.BALANCING_CREDIT):
            amount = t.amount >= old.amount
        for f in ("flags", "pending_id", "timeout", "debit_account_id", "credit_account_id", "amount", *DATA):
            sent, kept = getattr(t, f), getattr(old, f)
            if settles and f in DATA:
                sent = sent or getattr(p, f)
            silent = settles and f.endswith("account_id") and not sent
            if not (amount if f == "amount" else sent == kept or silent):
                return T[f"EXISTS_WITH_DIFFERENT_{f.upper()}"]
        for f in ("ledger", "code"):
            if getattr(t, f) != getattr(old, f) and not (settles and not getattr(t, f)):
                return T[f"EXISTS_WITH_DIFFERENT_{f.upper()}"]
        return T.EXISTS, old.timestamp

    def stamp(self, t: Transfer, slot: int, accounts: tuple[Account, ...] = ()) -> int:
        if not t.flags & TF.IMPORTED:
            return slot
        newest = max((each.timestamp for each in self.transfers.values()), default=0)
        clash = any(each.timestamp == t.timestamp for each in self.accounts.values())
        refuse(t.timestamp <= newest or clash, T.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS)
        for side, each in zip(("DEBIT", "CREDIT"), accounts, strict=False):
            refuse(t.timestamp <= each.timestamp, T[f"IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_{side}_ACCOUNT"])
        refuse(bool(accounts) and t.timeout > 0, T.IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO)
        return t.timestamp

    def move(self, t: Transfer, slot: int) -> Any:
        pending = bool(t.flags & TF.PENDING)
        for side in ("debit", "credit"):
            number = getattr(t, f"{side}_account_id")
            refuse(number == 0, T[f"{side.upper()}_ACCOUNT_ID_MUST_NOT_BE_ZERO"])
            refuse(number == U128_MAX, T[f"{side.upper()}_ACCOUNT_ID_MUST_NOT_BE_INT_MAX"])
        refuse(t.debit_account_id == t.credit_account_id, T.ACCOUNTS_MUST_BE_DIFFERENT)
        refuse(t.pending_id, T.PENDING_ID_MUST_BE_ZERO)
        refuse(t.timeout and not pending, T.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER)
        closing = t.flags & (TF.CLOSING_DEBIT | TF.CLOSING_CREDIT)
        refuse(closing and not pending, T.CLOSING_TRANSFER_MUST_BE_PENDING)
        refuse(t.ledger == 0, T.LEDGER_MUST_NOT_BE_ZERO)
        refuse(t.code == 0, T.CODE_MUST_NOT_BE_ZERO)
        refuse(t.debit_account_id not in self.accounts, T.DEBIT_ACCOUNT_NOT_FOUND)
        refuse(t.credit_account_id not in self.accounts, T.CREDIT_ACCOUNT_NOT_FOUND)
        d, c = self.accounts[t.debit_account_id], self.accounts[t.credit_account_id]
        refuse(d.ledger != c.ledger, T.ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER)
        refuse(t.ledger != d.ledger, T.TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS)
        stamp = self.stamp(t, slot, (d, c))
        refuse(d.flags & AF.CLOSED, T.DEBIT_ACCOUNT_ALREADY_CLOSED)
        refuse(c.flags & AF.CLOSED, T.CREDIT_ACCOUNT_ALREADY_CLOSED)
        amount = t.amount
        if t.flags & TF.BALANCING_DEBIT:
            amount = min(amount, max(0, d.credits_posted - d.debits_posted - d.debits_pending))
        if t.flags & TF.BALANCING_CREDIT:
            amount = min(amount, max(0, c.debits_posted - c.credits_posted - c.credits_pending))
        for name, old_d, old_c in (
            ("_PENDING", d.debits_pending, c.credits_pending) if pending else ("_PENDING", -amount, -amount),
            ("_POSTED", d.debits_posted, c.credits_posted),
            ("", d.debits_pending + d.debits_posted, c.credits_pending + c.credits_posted),
        ):
            refuse(old_d + amount > U128_MAX, T[f"OVERFLOWS_DEBITS{name}"])
            refuse(old_c + amount > U128_MAX, T[f"OVERFLOWS_CREDITS{name}"])
        refuse(stamp + t.timeout * 10**9 > I63, T.OVERFLOWS_TIMEOUT)
        owed, due = d.debits_pending + d.debits_posted + amount, c.credits_pending + c.credits_posted + amount
        refuse(d.flags & AF.DEBITS_MUST_NOT_EXCEED_CREDITS and owed > d.credits_posted, T.EXCEEDS_CREDITS)
        refuse(c.flags & AF.CREDITS_MUST_NOT_EXCEED_DEBITS and due > c.debits_posted, T.EXCEEDS_DEBITS)
        column = "pending" if pending else "posted"
        self.change(d, f"debits_{column}", amount, closed=bool(t.flags & TF.CLOSING_DEBIT) or None)
        self.change(c, f"credits_{column}", amount, closed=bool(t.flags & TF.CLOSING_CREDIT) or None)
        if pending:
            self.put(self.fate, t.id, "pending")
        self.put(self.transfers, t.id, replace(t, amount=amount, timestamp=stamp))
        return T.OK, stamp

    def settle(self, t: Transfer, slot: int) -> Any:
        others = TF.PENDING | TF.BALANCING_DEBIT | TF.BALANCING_CREDIT | TF.CLOSING_DEBIT | TF.CLOSING_CREDIT
        refuse(t.flags & SETTLING == SETTLING or t.flags & others, T.FLAGS_ARE_MUTUALLY_EXCLUSIVE)
        refuse(t.pending_id == 0, T.PENDING_ID_MUST_NOT_BE_ZERO)
        refuse(t.pending_id == U128_MAX, T.PENDING_ID_MUST_NOT_BE_INT_MAX)
        refuse(t.pending_id == t.id, T.PENDING_ID_MUST_BE_DIFFERENT)
        refuse(t.timeout, T.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER)
        refuse(t.pending_id not in self.transfers, T.PENDING_TRANSFER_NOT_FOUND)
        p = self.transfers[t.pending_id]
        refuse(not p.flags & TF.PENDING, T.PENDING_TRANSFER_NOT_PENDING)
        for f in ("debit_account_id", "credit_account_id", "ledger", "code"):
            differs = getattr(t, f) and getattr(t, f) != getattr(p, f)
            refuse(differs, T[f"PENDING_TRANSFER_HAS_DIFFERENT_{f.upper()}"])
        post = bool(t.flags & TF.POST_PENDING_TRANSFER)
        amount = p.amount if t.amount == (U128_MAX if post else 0) else t.amount
        refuse(amount > p.amount, T.EXCEEDS_PENDING_TRANSFER_AMOUNT)
        refuse(not post and amount < p.amount, T.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT)
        fate = self.fate[p.id]
        refuse(fate != "pending", T[f"PENDING_TRANSFER_ALREADY_{fate.upper()}"] if fate != "pending" else T.OK)
        stamp = self.stamp(t, slot)
        d, c = self.accounts[p.debit_account_id], self.accounts[p.credit_account_id]
        refuse(post and d.flags & AF.CLOSED, T.DEBIT_ACCOUNT_ALREADY_CLOSED)
        refuse(post and c.flags & AF.CLOSED, T.CREDIT_ACCOUNT_ALREADY_CLOSED)
        self.change(d, "debits_pending", -p.amount, closed=False if not post and p.flags & TF.CLOSING_DEBIT else None)
        self.change(c, "credits_pending", -p.amount, closed=False if not post and p.flags & TF.CLOSING_CREDIT else None)
        if post:
            self.change(self.accounts[d.id], "debits_posted", amount)
            self.change(self.accounts[c.id], "credits_posted", amount)
        self.put(self.fate, p.id, "posted" if post else "voided")
        inherited = {f: getattr(t, f) or getattr(p, f) for f in DATA}
        kept = replace(p, id=t.id, amount=amount, pending_id=p.id, timeout=0, flags=t.flags, timestamp=stamp)
        self.put(self.transfers, t.id, replace(kept, **inherited))
        return T.OK, stamp

    def change(self, a: Account, column: str, amount: int, *, closed: bool | None = None) -> None:
        flags = a.flags if closed is None else (a.flags | AF.CLOSED if closed else a.flags & ~AF.CLOSED)
        self.put(self.accounts, a.id, replace(a, flags=int(flags), **{column: getattr(a, column) + amount}))


class Refusal(Exception):
    def __init__(self, code: T) -> None:
        super().__init__(code)
        self.code = code


def refuse(fault: object, code: T) -> None:
    if fault:
        raise Refusal(code)


EDGES = sorted({max(0, (1 << bits) + step) for bits in (0, 1, 47, 48, 53, 64, 96, 127, 128) for step in (-2, -1, 0, 1)})
amounts = st.one_of(
    st.integers(0, 50), st.sampled_from([edge for edge in EDGES if edge <= U128_MAX]), st.integers(0, U128_MAX)
)
account_ids = st.sampled_from([0, 1, 2, 3, 1 << 48, (1 << 48) - 1, 1 << 100, (1 << 100) + 1, U128_MAX])
transfer_ids = st.one_of(
    st.integers(0, 12), st.integers(1 << 100, (1 << 100) + 8), st.sampled_from([1 << 48, U128_MAX])
)
few = st.sampled_from([0, 0, 0, 1, 2])
account_events = st.builds(
    Account,
    id=account_ids,
    user_data_128=few,
    user_data_64=few,
    user_data_32=few,
    reserved=st.sampled_from([0] * 20 + [1]),
    debits_posted=st.sampled_from([0] * 20 + [1]),
    ledger=st.sampled_from([1] * 6 + [0, 2]),
    code=st.sampled_from([1] * 8 + [0]),
    flags=st.sampled_from([0] * 6 + [1, 2, 4, 6, 8, 8, 9, 16, 32, 64]),
    timestamp=st.sampled_from([0] * 8 + [5, 1 << 62, 1 << 63]),
)
transfer_events = st.builds(
    Transfer,
    id=transfer_ids,
    debit_account_id=account_ids,
    credit_account_id=account_ids,
    amount=amounts,
    pending_id=st.one_of(st.just(0), st.just(0), transfer_ids),
    user_data_128=few,
    user_data_64=few,
    user_data_32=few,
    timeout=st.sampled_from([0] * 6 + [1000, (1 << 32) - 1]),
    ledger=st.sampled_from([1] * 6 + [0, 2]),
    code=st.sampled_from([1] * 8 + [0, 2]),
    flags=st.one_of(
        st.sampled_from([0, 0, 1, 2, 2, 3, 4, 4, 8, 8, 16, 32, 48, 66, 130, 256, 258, 512]), st.integers(0, 511)
    ),
    timestamp=st.sampled_from([0] * 8 + [7, 9, 1 << 62, 1 << 63]),
)
requests = st.lists(
    st.one_of(
        st.tuples(st.just(AF), st.lists(account_events, min_size=1, max_size=5)),
        st.tuples(st.just(TF), st.lists(transfer_events, min_size=1, max_size=8)),
    ),
    min_size=1,
    max_size=12,
)


def openings() -> Iterator[Account]:
    """Accounts that most random transfers meet: plain, limited, with history."""
    for number, flags in ((1, 0), (2, AF.HISTORY), (3, AF.DEBITS_MUST_NOT_EXCEED_CREDITS), (1 << 100, 0)):
        yield Account(id=number, ledger=1, code=1, flags=int(flags))


@pytest.fixture
def ledger(hub: Hub) -> Ledger:
    return Ledger(hub, LedgerSettings())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(requests)
async def test_random_requests_have_the_answers_of_the_model(
    ledger: Ledger, asked: list[tuple[Any, list[Any]]]
) -> None:
    await ledger.hub.write.flushall()
    model, newest = Model(), 0
    for kind, events in [(AF, list(openings())), *asked]:
        told = await (ledger.create_accounts(events) if kind is AF else ledger.create_transfers(events))
        slots = [
            outcome.timestamp - number
            for number, (event, outcome) in enumerate(zip(events, told, strict=True))
            if outcome.status != "exists" and not (outcome.ok and event.flags & kind.IMPORTED)
        ]
        first = slots[0] if slots else newest + 1
        assert set(slots) <= {first}, "slots follow each other"
        assert first > newest, "slots rise"
        newest = first + len(events) - 1
        expected = model.request(events, first, kind)
        assert [(outcome.result, outcome.timestamp) for outcome in told] == expected, events
    await compare(ledger, model)


async def compare(ledger: Ledger, model: Model) -> None:
    """Everything that is stored, by every way to read it."""
    by_time = sorted(model.transfers.values(), key=lambda each: each.timestamp)
    assert await ledger.query_transfers(QueryFilter()) == by_time
    assert await ledger.query_transfers(QueryFilter(flags=1, limit=3)) == by_time[::-1][:3]
    ids = list(model.accounts)
    assert await ledger.lookup_accounts(ids) == list(model.accounts.values())
    assert await ledger.lookup_transfers([each.id for each in by_time]) == by_time
    for code in (1, 2):
        wanted = QueryFilter(user_data_64=code)
        assert await ledger.query_transfers(wanted) == [each for each in by_time if each.user_data_64 == code]
    middle = by_time[len(by_time) // 2].timestamp if by_time else 1
    for number in ids:
        for flags in range(1, 8):
            mine = [
                each
                for each in by_time
                if (flags & 1 and each.debit_account_id == number) or (flags & 2 and each.credit_account_id == number)
            ]
            mine = mine[::-1] if flags & 4 else mine
            found = await ledger.get_account_transfers(AccountFilter(account_id=number, flags=flags))
            assert found == (mine if flags & 3 else [])
        late = AccountFilter(account_id=number, timestamp_min=middle, limit=2)
        mine = [each for each in by_time if number in {each.debit_account_id, each.credit_account_id}]
        assert await ledger.get_account_transfers(late) == [each for each in mine if each.timestamp >= middle][:2]
        rows = await ledger.get_account_balances(AccountFilter(account_id=number))
        keeps = model.accounts[number].flags & AF.HISTORY
        assert [row.timestamp for row in rows] == [each.timestamp for each in mine if keeps]
        if rows:
            last = asdict(model.accounts[number])
            assert {name: last[name] for name in asdict(rows[-1]) if name != "timestamp"} == {
                name: value for name, value in asdict(rows[-1]).items() if name != "timestamp"
            }
    assert await check(ledger) == []


ODD: list[dict[str, int]] = [
    {},
    dict.fromkeys(DATA, (1 << 32) - 1),
    *({"amount": amount} for amount in ((1 << 48) - 1, 1 << 48, 1 << 64, 1 << 112)),
    *({"pending_id": 1 << bits} for bits in (0, 64)),
    *({"timeout": seconds} for seconds in (1, 1 << 31)),
    {"id": (1 << 120) + 22},
    {"credit_account_id": 5, "debit_account_id": 5},
    *({name: 7} for name in ("debit_account_id", "credit_account_id", "ledger")),
    {"code": 0},
    {"flags": int(TF.PENDING)},
    {"timestamp": 1 << 62},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_an_event_that_is_not_plain_is_seen_among_those_that_are(ledger: Ledger, odd: dict[str, int]) -> None:
    """Three requests of plain events and this one; their accounts are in many of them, and the indexes grow."""
    model, numbers = Model(), (5, 1 << 100, 3 << 100)
    pairs = [{"debit_account_id": numbers[n % 3], "credit_account_id": numbers[(n + 1) % 3]} for n in range(60)]
    plain = [Transfer(id=(1 << 120) + n, amount=n, ledger=1, code=1, **pair) for n, pair in enumerate(pairs)]
    plain[30] = replace(plain[30], **odd)
    batches: list[tuple[Any, Any]] = [(TF, plain[start : start + 20]) for start in (0, 20, 40)]
    accounts = [Account(id=n, ledger=7 if n == 7 else 1, code=1) for n in (*numbers, 7)]
    for kind, events in [(AF, accounts), *batches]:
        told = await (ledger.create_accounts(events) if kind is AF else ledger.create_transfers(events))
        expected = model.request(events, told[0].timestamp, kind)
        assert [(outcome.result, outcome.timestamp) for outcome in told] == expected
    await compare(ledger, model)


@pytest.mark.parametrize("strange_percent", [0, 1, 30])
@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_batches_of_two_thousand_have_the_answers_of_the_model(hub: Hub, strange_percent: int) -> None:
    """Most events are plain and go a straight path of their own, between others that do not."""
    ledger, model, newest = Ledger(hub, LedgerSettings(batch_max=8189)), Model(), 0
    chance = random.Random(strange_percent)
    numbers = [*range(1 << 100, (1 << 100) + 300), 1, 2, 3]
    opening = [Account(id=n, ledger=1, code=1, flags=AF.HISTORY if n % 50 == 0 else 0) for n in numbers]
    batches: list[tuple[Any, Any]] = [(TF, _large_batch(chance, numbers, strange_percent)) for _ in range(4)]
    for kind, events in [(AF, opening), *batches]:
        told = await (ledger.create_accounts(events) if kind is AF else ledger.create_transfers(events))
        fresh = [n for n, outcome in enumerate(told) if outcome.status != "exists"]
        first = told[fresh[0]].timestamp - fresh[0]
        assert {told[n].timestamp - n for n in fresh} == {first}, "slots follow each other"
        assert first > newest, "slots rise"
        newest = first + len(events) - 1
        assert [(outcome.result, outcome.timestamp) for outcome in told] == model.request(events, first, kind)
    by_time = sorted(model.transfers.values(), key=lambda each: each.timestamp)
    assert [each async for each in everything(ledger.query_transfers)] == by_time
    assert await ledger.lookup_accounts(numbers) == [model.accounts[number] for number in numbers]
    for number in chance.sample(numbers, 20):
        mine = [each for each in by_time if number in {each.debit_account_id, each.credit_account_id}]
        assert await ledger.get_account_transfers(AccountFilter(account_id=number)) == mine
    assert await check(ledger) == []


def _large_batch(chance: random.Random, numbers: list[int], strange_percent: int) -> list[Transfer]:
    events: list[Transfer] = []
    for _ in range(2_000):
        debit, credit = chance.sample(numbers, 2)
        amount = chance.choice([1, 10, 1 << 40]) if chance.random() < 0.99 else min(chance.choice(EDGES), U128_MAX)
        number = (1 << 120) + chance.getrandbits(100)
        event = Transfer(id=number, debit_account_id=debit, credit_account_id=credit, amount=amount, ledger=1, code=1)
        if chance.random() * 100 < strange_percent:
            pending = [each.id for each in events if each.flags & TF.PENDING] or [0]
            event = replace(
                event,
                **chance.choice(
                    [
                        {"flags": int(TF.PENDING)},
                        {"flags": int(TF.LINKED)},
                        {"flags": int(TF.POST_PENDING_TRANSFER), "pending_id": chance.choice(pending), "code": 0},
                        {"flags": int(TF.BALANCING_DEBIT)},
                        {"id": chance.choice(events).id if events else 5},
                        {"id": chance.randint(1, 1 << 48)},
                        {"debit_account_id": 777},
                        {"credit_account_id": debit},
                        {"ledger": 2},
                        {"code": 0},
                        {"timestamp": 5},
                        {"user_data_128": 9},
                    ]
                ),
            )
        events.append(event)
    return events
