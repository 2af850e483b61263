"""What Pix settles and what the processors charge stands in the ledger, whoever was killed on the way."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from lastro.core import local
from lastro.core.testing import free_port
from lastro.core.testing.engine import Engine, listens, running, until
from lastro.ledger.model.ids import named_id
from lastro.pix.model.ids import make_end_to_end_id

PAYER, PAYEE = "99990001", "99990002"
WAIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The engine, and two processors that charge."""
    ports = free_port(), free_port()
    urls = {
        f"LASTRO_PAYMENTS_PROCESSOR_{name}_URL": f"http://127.0.0.1:{port}"
        for name, port in zip(("DEFAULT", "FALLBACK"), ports, strict=True)
    }
    lastro = str(Path(sys.executable).parent / "lastro")
    processors = [subprocess.Popen([lastro, "payments", "processor", "--port", str(port)]) for port in ports]
    for port in ports:
        until(partial(listens, port), WAIT_SECONDS, "no processor")  # else it counts as failing, and the other is paid
    with running(**urls) as found:
        yield found
    for processor in processors:
        processor.terminate()
        processor.wait(20)


def account(engine: Engine, name: str) -> dict[str, int]:
    """An account of the ledger by the name that posting gives it; zeros while there is none."""
    answer = httpx.get(f"{engine.url}/ledger/accounts/{named_id(name)}")
    sides = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
    return {side: int(answer.json()[side]) if answer.is_success else 0 for side in sides}


def checked(engine: Engine, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """What ``lastro check`` says, and how it ends, while everything runs."""
    lastro = str(Path(sys.executable).parent / "lastro")
    environment = {**os.environ, "LASTRO_DATA_DIR": str(engine.folder), **variables}
    return subprocess.run(
        [lastro, "check", *words, "--json"], env=environment, capture_output=True, text=True, check=False
    )


def check(engine: Engine) -> dict[str, list[str]]:
    """What it finds."""
    found: dict[str, list[str]] = json.loads(checked(engine).stdout)
    return found


def paid(engine: Engine, centavos: int) -> str:
    """A Pix that the payer sent and the receiver was asked about."""
    name = make_end_to_end_id(PAYER, datetime.now(UTC), secrets.token_hex(8)[:11])
    body = {"end_to_end_id": name, "payer": PAYER, "payee": PAYEE, "amount": f"{centavos // 100}.{centavos % 100:02}"}
    assert httpx.post(f"{engine.url}/pix/payments", json=body).status_code == 202
    return name


def answered(engine: Engine, name: str, status: str, reason: str = "") -> None:
    """What the receiver says."""
    body = {"end_to_end_id": name, "payee": PAYEE, "status": status, "reason": reason}
    assert httpx.post(f"{engine.url}/pix/answers", json=body).status_code == 202


def test_a_pix_is_held_in_the_books_then_posted_or_released(engine: Engine) -> None:
    for bank, cents in ((PAYER, 100_000), (PAYEE, 0)):
        given = httpx.post(
            f"{engine.url}/pix/participants/{bank}/funding", json={"id": "opening", "amount_cents": cents}
        )
        assert given.is_success, given.text
    kept, refused = paid(engine, 1_250), paid(engine, 700)
    until(lambda: account(engine, f"pix:{PAYER}")["debits_pending"] == 1_950, WAIT_SECONDS, "nothing is held")
    answered(engine, kept, "ACSP")
    answered(engine, refused, "RJCT", "AC03")
    until(lambda: account(engine, f"pix:{PAYER}")["debits_pending"] == 0, WAIT_SECONDS, "something is held still")
    assert account(engine, f"pix:{PAYER}")["debits_posted"] == 1_250
    assert account(engine, f"pix:{PAYEE}")["credits_posted"] == 1_250
    assert not any(check(engine).values())


def test_a_payment_and_the_processors_fee_are_in_the_books(engine: Engine) -> None:
    for cents in (1_000, 2_000, 3_000):
        body = f'{{"correlationId": "{uuid4()}", "amount": {cents // 100}.00}}'
        headers = {"content-type": "application/json"}
        assert httpx.post(f"{engine.url}/payments", content=body, headers=headers).status_code == 201
    until(lambda: account(engine, "pay:received")["credits_posted"] == 6_000, WAIT_SECONDS, "it is not posted")
    until(lambda: account(engine, "pay:fees")["debits_posted"] == 300, WAIT_SECONDS, "the fee is not posted")
    assert not any(check(engine).values())


def test_what_was_moved_while_the_poster_was_killed_again_and_again_is_posted_once(engine: Engine) -> None:
    before = account(engine, f"pix:{PAYEE}")["credits_posted"]
    names = []
    for at in range(100):
        names.append(paid(engine, 10))
        if at % 20 == 0:
            with suppress(KeyError):  # it is just being started again
                os.kill(engine.parts()["ledger.work"], signal.SIGKILL)
    for name in names:
        answered(engine, name, "ACSP")
    until(lambda: account(engine, f"pix:{PAYEE}")["credits_posted"] == before + 1_000, WAIT_SECONDS, "not all posted")
    assert not any(check(engine).values())


def test_a_domain_whose_database_is_away_does_not_hide_what_is_wrong_in_another(engine: Engine) -> None:
    """And is no difference: its last check, which grows old, stays noted as it was; the command may be tried again."""
    nowhere = "postgresql+psycopg://nobody@/nothing?host=/nowhere"
    server = local.adopt(engine.folder)
    assert server is not None
    with Redis.from_url(server.url) as store:
        store.hset("lastro:checked", "coupons", "1|0")
        told = checked(engine, LASTRO_COUPONS_DATABASE_URL=nowhere)
        found = json.loads(told.stdout)
        assert found.pop("coupons")["not_looked_at"]
        assert set(found) == {"ledger", "payments", "pix", "across domains"}
        assert (any(found.values()), told.returncode) == (False, os.EX_TEMPFAIL)
        assert store.hget("lastro:checked", "coupons") == b"1|0"


def test_a_check_with_a_wrong_setting_of_one_domain_ends_at_once(engine: Engine) -> None:
    told = checked(engine, "coupons", LASTRO_COUPONS_DATABASE_URL="mysql://nowhere")
    assert (told.returncode, "sqlite or postgresql, not mysql" in told.stderr) == (os.EX_CONFIG, True), told.stderr


@pytest.mark.parametrize(
    ("where", "said"), [({}, '"payments": []'), ({"LASTRO_REDIS_URL": "unix:///nowhere"}, "check.not_done")]
)
def test_a_check_with_an_interval_looks_again_and_again_also_while_the_store_is_away(
    engine: Engine, where: dict[str, str], said: str
) -> None:
    command = [str(Path(sys.executable).parent / "lastro"), "check", "payments", "--json", "--every", "1"]
    environment = {**os.environ, "LASTRO_DATA_DIR": str(engine.folder), **where}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as looking:
        assert looking.stdout is not None
        looks = [line for line, _ in zip((line for line in looking.stdout if said in line), range(2), strict=False)]
        looking.terminate()
    assert len(looks) == 2
