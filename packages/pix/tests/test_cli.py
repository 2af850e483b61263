"""Pix from a terminal, on a real server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lastro.core import local
from lastro.core.app import create_app
from lastro.core.cli import main
from lastro.core.plugins import installed
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.testing.web import served
from lastro.pix.engine.letters import letters
from lastro.pix.model import iso20022

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"


@pytest.fixture
def lastro(server: local.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], desk: Any) -> Any:
    """`lastro pix …`: what it printed. In a thread: a command has an event loop of its own."""
    monkeypatch.setenv("LASTRO_REDIS_URL", server.url)

    async def call(*words: str, ends: int | None = None) -> str:
        capsys.readouterr()
        assert (await asyncio.to_thread(main, ["pix", *words]) or None) == ends
        return capsys.readouterr().out

    return call


async def test_a_payment_is_sent_looked_up_and_given_back(lastro: Any, desk: Any, server: local.Server) -> None:
    name = (await lastro("submit", PAYER, PAYEE, "12.50")).strip()
    await desk.work()
    assert "ACCEPTED" in await lastro("status", name)
    assert "ACCEPTED  R$ 12,50" in await lastro("submit", PAYER, PAYEE, "12.50", "--id", name)
    record = json.loads(await lastro("status", name, "--json"))
    async with served(create_app(installed("lastro.routers", "pix"), Settings(redis_url=server.url))) as web:
        assert record == (await web.get(f"/pix/payments/{name}")).json()
    assert record["state"] == "ACCEPTED"
    payment = msgspec.structs.replace(desk.order(1_250), end_to_end_id=name)
    await desk.answer(payment)
    assert "SETTLED  R$ 2,50" in await lastro("return", name, "2.50")
    assert "SETTLED  R$ 10,00" in await lastro("return", name)
    assert "returned" in await lastro("status", name)


async def test_accounts_are_funded_listed_suspended_and_told(lastro: Any, desk: Any) -> None:
    assert "free R$ 1.234,56" in await lastro("fund", "99990007", "1234.56")
    assert "free R$ 1.000,00" in await lastro("fund", "99990007", "234.56", "--out")
    assert "suspended" in await lastro("suspend", "99990007")
    assert "suspended" not in await lastro("resume", "99990007")
    assert len((await lastro("accounts")).splitlines()) == 3
    told = json.loads(await lastro("accounts", "--json"))
    assert [(one["ispb"], one["free_cents"]) for one in told if one["ispb"] == "99990007"] == [("99990007", 100_000)]
    await desk.settled(1_000)
    assert "R$ -10,00  paid" in await lastro("statement", PAYER)
    assert json.loads(await lastro("statement", PAYEE, "--json"))["movements"][0]["cents"] == 1_000


async def test_check_ends_with_zero_only_when_everything_adds_up(lastro: Any, desk: Any) -> None:
    payment = await desk.settled(1_000)
    assert "nothing wrong" in await lastro("check")
    outbox = desk.pix.keys.outbox(PAYER)
    await desk.pix.write.xdel(outbox, (await desk.pix.read.xrange(outbox))[-1][0])
    assert payment.end_to_end_id in await lastro("check", ends=1)


async def test_dead_letters_are_listed_shown_replayed_and_discarded(lastro: Any, desk: Any) -> None:
    for number in range(3):
        await desk.send(nonsense=str(number))
    await desk.work()
    first = (await letters(desk.pix))[0].id
    assert len((await lastro("dead", "list")).splitlines()) == 3
    assert json.loads(await lastro("dead", "list", "--json"))[0]["id"] == first
    assert json.loads(await lastro("dead", "show", first))["fields"] == {"nonsense": "0"}
    assert await lastro("dead", "replay", first) == "1 replayed\n"
    assert await lastro("dead", "replay", "all") == "2 replayed\n"
    await desk.work()
    assert await lastro("dead", "discard", (await letters(desk.pix))[0].id) == "1 discarded\n"
    assert len(await letters(desk.pix)) == 2
    await desk.send(payment="x" * 2_000_000)
    await desk.work()
    assert await lastro("dead", "replay", "all") == "2 replayed\n"
    assert [letter.cut_off for letter in await letters(desk.pix)] == [True]
    assert await lastro("dead", "discard", "all") == "1 discarded\n"
    for words in (
        *(("dead", act, "1-1") for act in ("show", "replay", "discard")),
        ("dead", "list", "--after", "x"),
        ("responses", PAYER, "--after", "x"),
    ):
        with pytest.raises(SystemExit) as ended:
            await lastro(*words)
        assert ended.value.code == 1


async def test_a_br_code_is_printed_drawn_and_read(lastro: Any, tmp_path: Path) -> None:
    picture = tmp_path / "code.png"
    text = await lastro(
        "brcode", "make", "+5511999999999", "LOJA LASTRO", "SAO PAULO", "--amount", "10.00", "--picture", str(picture)
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(await lastro("brcode", "read", text.strip()))["amount_cents"] == 1_000


async def test_an_envelope_is_read_and_told(lastro: Any, desk: Any, tmp_path: Path) -> None:
    header = iso20022.Header(
        sender=PAYER, receiver=iso20022.SPI_ISPB, msg_id="M" + PAYER + "a" * 23, created_at="2026-11-21T03:42:00.000Z"
    )
    path = tmp_path / "payment.xml"
    path.write_bytes(iso20022.render_payment(header, desk.order(1_000)))
    assert json.loads(await lastro("read", str(path)))["payment"]["amount"] == "10.00"


async def test_envelopes_and_files_of_payments_are_sent_and_their_answers_told(
    lastro: Any, desk: Any, tmp_path: Path
) -> None:
    header = iso20022.Header(
        sender=PAYER, receiver=iso20022.SPI_ISPB, msg_id="M" + PAYER + "a" * 23, created_at="2026-11-21T03:42:00.000Z"
    )
    envelope, lines = tmp_path / "payment.xml", tmp_path / "payments.ndjson"
    first, *others = [desk.order(1_000) for _ in range(3)]
    envelope.write_bytes(iso20022.render_payment(header, first))
    lines.write_bytes(b"\n".join(msgspec.json.encode(order) for order in others))
    await lastro("read", "--send", str(envelope))
    assert (await lastro("bulk", str(lines))).strip() == "2 payments, 0 of them known before"
    await desk.work()
    assert (await lastro("bulk", str(lines))).strip() == "2 payments, 2 of them known before"
    await lastro("answer", first.end_to_end_id, PAYEE)
    await lastro("answer", others[0].end_to_end_id, PAYEE, "--refuse", "AC03")
    await desk.work()
    assert (await lastro("responses", PAYEE, "--xml")).count("pacs.008/1.16") == 3
    told = [json.loads(line) for line in (await lastro("responses", PAYER)).splitlines()]
    assert [(message["status"], message["reason"]) for message in told] == [("ACSC", ""), ("RJCT", "AC03")]


async def test_the_original_simulators_send_one_and_many(
    lastro: Any, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUM_REQUESTS", "1000")
    monkeypatch.setenv("BATCH_SIZE", "300")
    monkeypatch.setenv("NUM_THREADS", "3")
    monkeypatch.setenv("BACKEND_ID", "9")
    async with desk.workers(1):
        assert "status=confirmed processed_amount=12.50 backend_id=9" in await lastro(
            "simulate", "one", "--amount", "12.50"
        )
        assert (await lastro("simulate", "many")).startswith("1000 payments, R$ ")

        async def confirmed() -> bool:
            return len(await desk.heard("9")) == 1_001

        await wait_for(confirmed, "the confirmations")


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_the_world_pays_and_the_capacity_test_passes(lastro: Any, desk: Any) -> None:
    async with desk.workers(1):
        told = await lastro(
            "simulate", "world", "--count", "300", "--rate", "300", "--refuse", "0.5", "--repeat", "0.2"
        )
        assert "300 sent" in told
        assert "not heard of  0" in told
    assert await desk.findings() == []


async def test_the_monitor_looks_once_for_scripts_and_for_people(lastro: Any, desk: Any) -> None:
    await desk.settled(1_000)
    told = json.loads(await lastro("monitor", "--json"))
    assert (told["up"], told["count"], told["cents"]) == (True, 1, 1_000)
    assert "1 settled, R$ 10,00" in await lastro("monitor", "--once")


async def test_a_payer_that_is_no_participant_is_refused_in_a_sentence(lastro: Any) -> None:
    with pytest.raises(SystemExit):
        await lastro("submit", "x", PAYEE, "1.00")


async def test_a_store_that_is_down_is_a_state_of_the_monitor(
    lastro: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LASTRO_REDIS_URL", f"unix://{tmp_path}/nobody")
    assert json.loads(await lastro("monitor", "--json", ends=75))["up"] is False
