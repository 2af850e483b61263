"""The scripts by themselves, as any Redis client calls them: JSON and records, bad input, undo, the clock."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import NoScriptError, ResponseError

from lastro.core.cli import main
from lastro.core.errors import Fault
from lastro.core.redis import Hub
from lastro.core.redis.clients import Client
from lastro.core.scripts import REGISTRY
from lastro.ledger import keys, new_id, scripts
from lastro.ledger.model.codes import AccountCode, TransferCode
from lastro.ledger.model.records import Account, Transfer, joined

pytestmark = pytest.mark.anyio

SPACE = [keys.keyspace("main")]
ACCOUNT = {"id": "1", "ledger": 700, "code": 10, "flags": 0}
TRANSFER = {
    "id": "100",
    "debit_account_id": "1",
    "credit_account_id": "2",
    "amount": 30,
    "ledger": 700,
    "code": 10,
    "flags": 0,
}


async def told(redis: Client, script: Any, events: Any, *options: Any) -> Any:
    """A create script's answer to JSON."""
    return json.loads(await script(redis, keyspace=SPACE, events=json.dumps(events), options=list(options)))


async def two_accounts(redis: Client, flags: int = 0) -> None:
    accounts = [{**ACCOUNT, "id": number, "flags": flags} for number in "12"]
    assert [each["result"] for each in await told(redis, scripts.create_chained_accounts, accounts)] == [0, 0]


async def everything(redis: Client) -> dict[bytes, bytes | None]:
    return {key: await redis.dump(key) async for key in redis.scan_iter()}


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(scripts.__file__).parent.glob("*.lua")))
def test_dragonflydbs_flags_are_at_the_very_top_where_no_other_line_has_to_be(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It looks for them nowhere else; Redis 7's own first line comes before them, in the text for Redis 7."""
    flags, first = "--!df flags=allow-undeclared-keys", []
    for words in (("--legacy",), ()):
        main(["scripts", "show", f"ledger.{name}", *words])
        first.append(capsys.readouterr().out.splitlines()[:2])
    assert first[0][0] == flags
    assert (first[1][0].split()[0], first[1][1]) == ("#!lua", flags)


async def test_the_original_example_runs_word_for_word(hub: Hub) -> None:
    """Without keys the bare prefix is used; a cluster needs a keyspace, and refuses before anything is written."""
    redis: Any = hub.write
    source = REGISTRY["ledger.create_account"].source
    text = source.text if hub.capabilities.shebang else source.text_6
    account = {"id": "1", "ledger": 700, "code": 10, "flags": 0}
    sha = await redis.script_load(text)
    if hub.capabilities.cluster:
        with pytest.raises(Fault, match="BADINPUT keyspace"):
            await redis.evalsha(sha, 0, json.dumps(account))
        assert await redis.dbsize() == 0
        return
    answer = json.loads(await redis.evalsha(sha, 0, json.dumps(account)))
    assert answer["result"] == 0
    assert answer["status"] == "ok"
    assert await redis.exists("account:1")
    await redis.flushall()


async def test_success_is_zero_and_a_repeat_has_the_first_timestamp(redis: Client) -> None:
    first = await told(redis, scripts.create_account, ACCOUNT)
    again = await told(redis, scripts.create_account, ACCOUNT)
    assert (first["result"], first["status"]) == (0, "ok")
    assert (again["result"], again["status"]) == (AccountCode.EXISTS, "exists")
    assert again["timestamp"] == first["timestamp"]


async def test_a_single_script_refuses_a_linked_event_as_an_open_chain(redis: Client) -> None:
    answer = await told(redis, scripts.create_account, {**ACCOUNT, "flags": 1})
    assert answer["result"] == AccountCode.LINKED_EVENT_CHAIN_OPEN
    await two_accounts(redis)
    answer = await told(redis, scripts.create_transfer, {**TRANSFER, "flags": 1})
    assert answer["result"] == TransferCode.LINKED_EVENT_CHAIN_OPEN


async def test_several_chains_in_a_call_stand_and_fall_by_themselves(redis: Client) -> None:
    await two_accounts(redis)
    chain = [{**TRANSFER, "id": str(number), "flags": int(number % 2 == 0)} for number in range(100, 106)]
    chain[3]["debit_account_id"] = "9"
    answers = await told(redis, scripts.create_chained_transfers, chain)
    failed, missing = TransferCode.LINKED_EVENT_FAILED, TransferCode.DEBIT_ACCOUNT_NOT_FOUND
    assert [each["result"] for each in answers] == [0, 0, failed, missing, 0, 0]


@pytest.mark.parametrize("flags", [0, 8])
async def test_a_failed_chain_leaves_nothing(redis: Client, flags: int) -> None:
    """All kinds of effect in one chain, then a fault: the dataset is byte-identical."""
    await two_accounts(redis, flags)
    pending = {**TRANSFER, "id": "50", "flags": 2, "timeout": 1000}
    await told(redis, scripts.create_transfer, pending)
    before = await everything(redis)
    chain = [
        {**TRANSFER, "id": "60", "flags": 1},
        {**TRANSFER, "id": "61", "flags": 1 | 2, "timeout": 500},
        {**TRANSFER, "id": "62", "flags": 1 | 4, "pending_id": "50", "amount": "10"},
        {**TRANSFER, "id": "63", "flags": 1 | 2 | 64 | 128},
        {**TRANSFER, "id": "64", "flags": 1 | 8, "pending_id": "63", "amount": "0"},
        *({**TRANSFER, "id": str(number), "flags": 1} for number in range(70, 90)),
        {**TRANSFER, "id": "65", "code": 0},
    ]
    answers = await told(redis, scripts.create_chained_transfers, chain)
    assert {each["result"] for each in answers[:-1]} == {TransferCode.LINKED_EVENT_FAILED}
    assert answers[-1]["result"] == TransferCode.CODE_MUST_NOT_BE_ZERO
    assert await everything(redis) == before


async def test_a_failed_chain_of_accounts_leaves_nothing(redis: Client) -> None:
    await two_accounts(redis)
    before = await everything(redis)
    chain = [{**ACCOUNT, "id": "3", "flags": 1}, {**ACCOUNT, "id": "4", "flags": 1}, {**ACCOUNT, "id": "1"}]
    answers = await told(redis, scripts.create_chained_accounts, chain)
    assert [each["result"] for each in answers] == [1, 1, AccountCode.EXISTS]
    assert await everything(redis) == before


async def test_a_burnt_id_is_all_that_a_failed_chain_leaves(redis: Client) -> None:
    await two_accounts(redis)
    before = await everything(redis)
    chain = [{**TRANSFER, "id": "60", "flags": 1}, {**TRANSFER, "id": "61", "credit_account_id": "9"}]
    await told(redis, scripts.create_chained_transfers, chain)
    after = await everything(redis)
    assert set(after) - set(before) == {keys.transfer("main", 61)}
    assert {key: after[key] for key in before} == before
    answer = await told(redis, scripts.create_transfer, {**TRANSFER, "id": "61"})
    assert answer["result"] == TransferCode.ID_ALREADY_FAILED


async def test_what_another_build_wrote_under_a_transfers_id_is_refused_and_nothing_is_written(redis: Client) -> None:
    await two_accounts(redis)
    await redis.set(keys.transfer("main", 61), b"\x07\0\0\0\0\0\x01")
    before = await everything(redis)
    with pytest.raises(Fault, match="LAYOUT"):
        await told(redis, scripts.create_transfer, {**TRANSFER, "id": "61"})
    with pytest.raises(Fault, match="LAYOUT"):
        await told(redis, scripts.create_chained_transfers, [{**TRANSFER, "id": "62", "flags": 4, "pending_id": "61"}])
    with pytest.raises(Fault, match="LAYOUT"):
        await scripts.lookup_transfers(redis, keyspace=SPACE, ids='["61"]')
    assert await everything(redis) == before


async def test_without_its_state_a_ledger_writes_nothing_over_its_logs(redis: Client) -> None:
    """Counted from none again, the next account and the next transfer would take the place of the first."""
    await two_accounts(redis)
    assert (await told(redis, scripts.create_transfer, TRANSFER))["result"] == 0
    state: Any = await redis.getdel(keys.state("main"))
    before = await everything(redis)
    for shortened in (None, state[:30]):
        if shortened:
            await redis.set(keys.state("main"), shortened)
            before[keys.state("main").encode()] = await redis.dump(keys.state("main"))
        plain, held = {**TRANSFER, "id": "101"}, {**TRANSFER, "id": "102", "flags": 2, "timeout": 1}
        record = Transfer(id=103, debit_account_id=1, credit_account_id=2, amount=1, ledger=700, code=10).encode()
        for one in (json.dumps(plain), json.dumps(held), record):
            with pytest.raises(Fault):
                await scripts.create_transfer(redis, keyspace=SPACE, events=one, options=[])
        for many in (json.dumps([plain, held]), record, record + record[:1].replace(b"g", b"h") + record[1:]):
            with pytest.raises(Fault):
                await scripts.create_chained_transfers(redis, keyspace=SPACE, events=many, options=[])
        with pytest.raises(Fault):
            await told(redis, scripts.create_account, {**ACCOUNT, "id": "3"})
        with pytest.raises(Fault):
            await told(redis, scripts.create_chained_accounts, [{**ACCOUNT, "id": "3"}])
        with pytest.raises(Fault):
            await scripts.expire_transfers(redis, keyspace=SPACE)
        assert await everything(redis) == before


async def test_slots_rise_while_the_clock_is_behind(redis: Client) -> None:
    """The newest slot lies an hour ahead: every event has a timestamp after it, failed ones too."""
    await two_accounts(redis)
    stored: Any = await redis.get(keys.state("main"))
    state = bytearray(stored)
    ahead = int.from_bytes(state[:8], "little") + 3600 * 10**9
    state[:8] = ahead.to_bytes(8, "little")
    await redis.set(keys.state("main"), bytes(state))
    stamps = []
    for number, code in enumerate([0, 10, 0, 0, 10]):
        answer = await told(redis, scripts.create_transfer, {**TRANSFER, "id": str(200 + number), "code": code})
        assert (answer["result"] == 0) == (code == 10)
        stamps.append(int(answer["timestamp"]))
    assert stamps == [ahead + number for number in range(1, 6)]


BAD = [
    ("{", "not a JSON object"),
    ("[]", "not a JSON object"),
    ("7", "not a JSON object"),
    (b"\x00" * 127, "128 bytes"),
    (b"\x00" * 256, "128 bytes"),
    ({**TRANSFER, "amount": -1}, "amount must be a whole number"),
    ({**TRANSFER, "amount": 1.5}, "amount must be a whole number"),
    ({**TRANSFER, "amount": 2**53 + 1}, "amount is too large for a JSON number"),
    ({**TRANSFER, "amount": str(2**128)}, "amount must be below 2^128"),
    ({**TRANSFER, "amount": "1e3"}, "amount must be a whole number"),
    ({**TRANSFER, "amount": None}, "amount must be a whole number"),
    ({**TRANSFER, "amount": True}, "amount must be a whole number"),
    ({**TRANSFER, "id": str(2**128)}, "id must be below 2^128"),
    ({**TRANSFER, "id": "9" * 60}, "id must be below 2^128"),
    ({**TRANSFER, "code": 2**16}, "code must be below 2^16"),
    ({**TRANSFER, "timeout": str(2**32)}, "timeout must be below 2^32"),
    ({**TRANSFER, "amonut": 1}, "amonut is not a known field"),
    ({**TRANSFER, "d": 1}, "d is not a known field"),
    ({**TRANSFER, "metadata": {"a": 1}}, "metadata must be a string"),
    ({**TRANSFER, "metadata": False}, "metadata must be a string"),
    ({**TRANSFER, "metadata": None}, "metadata must be a string"),
    ({**TRANSFER, "metadata": "{"}, "metadata must be a string that holds JSON"),
    ({**TRANSFER, "metadata": json.dumps("x" * 5000)}, "metadata is longer"),
]


@pytest.mark.parametrize(("given", "words"), BAD)
async def test_bad_input_names_the_field_and_writes_nothing(redis: Client, given: Any, words: str) -> None:
    await two_accounts(redis)
    before = await everything(redis)
    events = json.dumps(given) if isinstance(given, dict) else given
    with pytest.raises(Fault) as refused:
        await scripts.create_transfer(redis, keyspace=SPACE, events=events, options=[])
    assert words in str(refused.value)
    assert await everything(redis) == before


@pytest.mark.parametrize(
    "number", ["1.0", "1e2", "1E+1", "0x10", "00012", "+7", ".5", "-0x1", "nan", "-inf", "Infinity"]
)
async def test_a_number_that_is_no_plain_integer_is_refused_by_its_field(redis: Client, number: str) -> None:
    """Its exact digits, not what a double makes of them: 1, 1.0 and 0x1 would be one amount."""
    await two_accounts(redis)
    before = await everything(redis)
    note = json.dumps({"metadata": '{"a \\" 0.5": [1.5, "1e2"]}'})[1:]
    event = json.dumps(TRANSFER).replace("30", number)
    for text in (event, event[:-1] + ", " + note):
        with pytest.raises(Fault, match="BADINPUT amount must be a whole number"):
            await scripts.create_transfer(redis, keyspace=SPACE, events=text, options=[])
    both = f"[{json.dumps(TRANSFER)}, {event}]"
    with pytest.raises(Fault, match="event 1: amount must be a whole number"):
        await scripts.create_chained_transfers(redis, keyspace=SPACE, events=both, options=[])
    with pytest.raises(Fault, match="BADINPUT limit must be a whole number"):
        await scripts.query_transfers(redis, keyspace=SPACE, wanted=f'{{"limit": {number}}}')
    with pytest.raises(Fault, match="BADINPUT id must be a whole number"):
        await scripts.lookup_accounts(redis, keyspace=SPACE, ids=f'["1", {number}]')
    assert await everything(redis) == before
    given = await scripts.create_transfer(
        redis, keyspace=SPACE, events=f"{json.dumps(TRANSFER)[:-1]}, {note}", options=[]
    )
    assert json.loads(given)["result"] == 0


@pytest.mark.parametrize("reserved", [1 << 48, 1 << 49, str(1 << 48)])
async def test_a_reserved_number_that_does_not_fit_is_not_taken_for_zero(redis: Client, reserved: int | str) -> None:
    with pytest.raises(Fault, match=r"reserved must be below 2\^48"):
        await scripts.query_accounts(redis, keyspace=SPACE, wanted=json.dumps({"reserved": reserved, "limit": 5}))


UNREADABLE = [
    *(b"0x10", b"nan", b"-Infinity", b"1e999", b"[01]", b"[1.]", b'{"a":+1}', b"{}\0{", b'"\xff"', b'"\xed\xa0\x80"'),
    *(b'"a\nb"', b'"\xc0\xaf"', b'"\xf5\x80\x80\x80"', rb'"\ud800"', b"[" * 101 + b"]" * 101),
    *(b"[1,-01]", b"[1.05,.5]", b"-1.e5", b"[0,-.5]", b"[1e+5,+1]", b"1e0000400", b"9" * 400 + b".5", b'["\t"\t]'),
    *(b'[true,"true",NaN]', b'["\xc3"\n,"\xa9"]', b"[" + b"[]," * 300 + b"[" * 100 + b"]" * 101),
]
READABLE = [
    *(
        b"0",
        b"-0.5e-7",
        b"[1E3,true,null]",
        b' {"a":\t[{}]}',
        rb'"\ud83d\ude00 [\"\\"',
        "“é😀￿”".encode().join([b'"'] * 2),
    ),
    *(b"[" * 100 + b"]" * 100, b'"' + b"[" * 200 + b'"', b"9" * 4000),
    *(b'"a\x7fb"', b"[1.05,1e-05,1E+05,-0,10.0]", rb'["\\", 0, "01 .5 +1 NaN", "\u0000"]', b"[" + b"[]," * 300 + b"0]"),
]


@pytest.mark.parametrize("form", ["json", "record"])
async def test_metadata_is_what_every_reader_of_json_can_read(redis: Client, form: str) -> None:
    """The server's own reader takes more than JSON has, and would keep what nobody can answer again."""
    await two_accounts(redis)

    async def create(text: bytes) -> None:
        if form == "json":
            escaped = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\0", rb"\u0000")
            event = json.dumps(TRANSFER)[:-1].encode() + b', "metadata": "' + escaped + b'"}'
            await scripts.create_transfer(redis, keyspace=SPACE, events=event, options=[])
            return
        record = Transfer(id=100, debit_account_id=1, credit_account_id=2, amount=30, ledger=700, code=10).encode()
        packed = b'{"1":"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\0", rb"\u0000") + b'"}'
        await scripts.create_chained_transfers(redis, keyspace=SPACE, events=record, options=[0, packed])

    for text in UNREADABLE:
        with pytest.raises(Fault, match="metadata must be a string that holds JSON"):
            await create(text)
        assert await redis.get(keys.transfer("main", 100)) is None
    for text in READABLE:
        await create(text)
        kept = await redis.get(keys.metadata("main", 100))
        assert kept == text
        json.loads(kept)
        await redis.delete(keys.transfer("main", 100), keys.metadata("main", 100))


@pytest.mark.parametrize("form", ["json", "records"])
async def test_metadata_that_nobody_has_looked_at_is_bounded_in_one_call(redis: Client, form: str) -> None:
    """Looking at it holds the server: a mebibyte, whatever is in it. What its sender calls strict is not looked at."""
    await two_accounts(redis)
    note, ids = json.dumps("x" * 4000), range(100, 400)

    async def create(count: int, bits: int = 0) -> bytes:
        if form == "json":
            events = json.dumps([{**TRANSFER, "id": each, "metadata": note} for each in ids[:count]])
            return await scripts.create_chained_transfers(redis, keyspace=SPACE, events=events, options=[bits])
        about = {"debit_account_id": 1, "credit_account_id": 2, "amount": 30, "ledger": 700, "code": 10}
        records = joined([Transfer(id=each, **about) for each in ids[:count]])
        packed = json.dumps({str(place): note for place in range(1, count + 1)}).encode()
        return await scripts.create_chained_transfers(redis, keyspace=SPACE, events=records, options=[bits, packed])

    with pytest.raises(Fault, match="metadata is longer than 1048576 bytes in all events together"):
        await create(300)
    assert await redis.get(keys.transfer("main", 100)) is None
    if form == "records":
        await create(300, scripts.STRICT)
    else:
        await create(260)
    assert await redis.get(keys.metadata("main", 359)) == note.encode()


async def test_a_bad_event_in_an_array_is_named_by_its_number(redis: Client) -> None:
    await two_accounts(redis)
    with pytest.raises(Fault, match="event 1: amount"):
        await told(redis, scripts.create_chained_transfers, [TRANSFER, {**TRANSFER, "amount": -1}])
    with pytest.raises(Fault, match="too much data: 8190"):
        await scripts.create_chained_transfers(redis, keyspace=SPACE, events=bytes(8190 * 128), options=[])
    with pytest.raises(Fault, match="limit"):
        await scripts.query_transfers(redis, keyspace=SPACE, wanted=json.dumps({"limit": 8190}))
    with pytest.raises(Fault, match="colour is not a known field"):
        await scripts.query_transfers(redis, keyspace=SPACE, wanted=json.dumps({"colour": 1}))


async def test_the_other_events_of_a_pipeline_go_on(hub: Hub) -> None:
    await two_accounts(hub.write)
    source = REGISTRY["ledger.create_transfer"].source
    text = source.text if hub.capabilities.shebang else source.text_6
    sha = await hub.write.execute_command("SCRIPT LOAD", text)
    events = [json.dumps({**TRANSFER, "id": "1"}), "{", json.dumps({**TRANSFER, "id": "2"})]
    line = hub.line(hub.place(SPACE[0]))
    good, bad, also = await line.send([("EVALSHA", sha, 1, SPACE[0], event) for event in events])
    assert json.loads(good)["result"] == json.loads(also)["result"] == 0
    assert isinstance(bad, ResponseError)
    assert not isinstance(bad, NoScriptError)


async def test_an_amount_of_128_bits_survives_json(redis: Client) -> None:
    await two_accounts(redis)
    huge = str(2**128 - 1)
    assert (await told(redis, scripts.create_transfer, {**TRANSFER, "amount": huge}))["result"] == 0
    stored = json.loads(await scripts.lookup_transfer(redis, keyspace=SPACE, ids='{"id": "100"}'))
    assert (stored["result"], stored["amount"]) == (0, huge)
    for ids in ("1", '"1"', b"\x01" + bytes(15)):
        found = await scripts.lookup_account(redis, keyspace=SPACE, ids=ids)
        if isinstance(ids, str):
            assert json.loads(found)["debits_posted"] == huge
        else:
            assert Account.decode(found).debits_posted == 2**128 - 1
    assert await scripts.lookup_account(redis, keyspace=SPACE, ids="77") == b"{}"
    for like_json in (b'{"id": 1, "x": 2', b'["abcdefghijklmn', b'"abcdefghijklmn}', b" {aaaaaaaaaaaaaa"):
        assert await scripts.lookup_account(redis, keyspace=SPACE, ids=like_json) == b""
    (overflow,) = await told(redis, scripts.create_chained_transfers, [{**TRANSFER, "id": "101", "amount": 1}])
    assert overflow["result"] == TransferCode.OVERFLOWS_DEBITS_POSTED


async def test_a_record_whose_first_byte_looks_like_json_is_a_record(redis: Client) -> None:
    """An id may begin with any byte; the flags tell records from JSON."""
    await two_accounts(redis)
    for first in b'[{" \n\t\r':
        number = first + (1 << 120)
        record = Transfer(id=number, debit_account_id=1, credit_account_id=2, amount=1, ledger=700, code=1).encode()
        answer = await scripts.create_transfer(redis, keyspace=SPACE, events=record, options=[])
        assert struct.unpack("<QII", answer)[1] == 0
        many = await scripts.create_chained_transfers(redis, keyspace=SPACE, events=record, options=[])
        assert struct.unpack("<QII", many)[1] == TransferCode.EXISTS


@pytest.mark.parametrize("first", b'[{"')
async def test_a_reserved_flag_does_not_make_a_record_look_like_json(redis: Client, first: int) -> None:
    """It is that event's own fault, and the others of its request go on."""
    odd, good = (Account(id=number, ledger=700, code=1) for number in (first, 1 << 100))
    records = odd.encode()[:118] + struct.pack("<H", 512) + odd.encode()[120:] + good.encode()
    answer = await scripts.create_chained_accounts(redis, keyspace=SPACE, events=records, options=[])
    assert [code for _, code, _ in struct.iter_unpack("<QII", answer)] == [AccountCode.RESERVED_FLAG, 0]


async def test_balances_and_metadata_come_with_json_too(redis: Client) -> None:
    await two_accounts(redis)
    (answer,) = await told(
        redis, scripts.create_chained_transfers, [{**TRANSFER, "metadata": '{"order":7}'}], scripts.BALANCES
    )
    assert answer["debit_account"]["debits_posted"] == "30"
    assert answer["credit_account"]["credits_posted"] == "30"
    assert await redis.get(keys.metadata("main", 100)) == b'{"order":7}'


async def test_a_keyspace_of_its_own_is_a_ledger_of_its_own(redis: Client) -> None:
    for space in ("a", "b"):
        await scripts.create_account(
            redis, keyspace=[keys.keyspace(space)], events=json.dumps({**ACCOUNT, "id": str(new_id())}), options=[]
        )
    for space in ("a", "b"):
        answer: Any = await scripts.query_accounts(redis, keyspace=[keys.keyspace(space)], wanted='{"limit": 9}')
        found = json.loads(answer)
        assert len(found) == 1
