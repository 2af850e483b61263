"""The engine as a person runs it: supervised, on inherited sockets, adding up at the end."""

import os
import signal
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from redis import Redis

from lastro.core.keys import API_KEYS
from lastro.core.local import adopt
from lastro.core.testing import start_server
from lastro.core.testing.engine import READY_SECONDS, STOP_SECONDS, Engine, running, start, until
from lastro.pix.model.ids import make_end_to_end_id

BACK_SECONDS = 1.0
TRIES = 3
"""A machine that stands still makes one late that is not, but hardly the same one each time."""


def test_every_process_that_is_killed_is_back_within_a_second_and_all_adds_up() -> None:
    with running("--simulate") as engine:
        some = {"web.1", "world", "status", "ledger.work", "pix.work"}
        until(lambda: some <= engine.parts().keys(), READY_SECONDS, "not all of it runs")
        late = set(engine.parts()) - {"valkey-server", "redis-server"}
        for _ in range(TRIES):
            late = {name for name in late if seconds_away(engine, name) > BACK_SECONDS}
        assert not late
        until(engine.ready, READY_SECONDS, "it does not serve any more")
        engine.process.terminate()
        assert engine.process.wait(STOP_SECONDS) == 0, engine.log.read_text()
        assert "adds up" in engine.log.read_text()


def seconds_away(engine: Engine, name: str) -> float:
    """From the kill of a part until it runs again."""
    killed, begun = engine.parts()[name], time.monotonic()
    os.kill(killed, signal.SIGKILL)
    until(lambda: engine.parts().get(name, killed) != killed, READY_SECONDS, f"{name} did not come back")
    return time.monotonic() - begun


def test_the_embedded_server_is_started_again_and_what_it_knew_is_there() -> None:
    with running("ledger") as engine:
        account = {"id": "7", "ledger": 1, "code": 10}
        assert httpx.post(f"{engine.url}/ledger/accounts", json=account).status_code < 300
        server = adopt(engine.folder)
        assert server is not None
        server.kill()
        address = f"{engine.url}/ledger/accounts/7"
        until(lambda: httpx.get(address).status_code == 200, READY_SECONDS, "the account is gone")


@pytest.mark.parametrize("words", [(), ("--single",)])
def test_the_key_of_the_simulators_ends_with_the_engine(tmp_path: Path, words: tuple[str, ...]) -> None:
    """One is made at every start, and there is a bound to keys."""
    store = start_server(tmp_path)
    variables = {"LASTRO_REDIS_URL": store.url, "LASTRO_API_KEYS": "on"}
    try:
        with Redis.from_url(store.url) as client:
            for _ in range(2):
                with running("ledger", "--simulate", *words, **variables) as engine:
                    assert client.hlen(API_KEYS) == 1
                assert engine.process.returncode == 0, engine.log.read_text()
                assert client.hlen(API_KEYS) == 0
    finally:
        store.stop()


def test_a_part_that_is_started_again_leaves_no_files_of_metrics_behind() -> None:
    with running("ledger") as engine:
        until(lambda: figures(engine.parts().get("ledger.work")), READY_SECONDS, "it counts nothing")
        for _ in range(2):
            killed = engine.parts()["ledger.work"]
            os.kill(killed, signal.SIGKILL)
            until(lambda: engine.parts().get("ledger.work") not in {None, killed}, READY_SECONDS, "it stays away")  # noqa: B023  # at once
            until(lambda: figures(engine.parts().get("ledger.work")), READY_SECONDS, "it counts nothing any more")
        (folder,) = {path.parent for path in figures(engine.parts()["ledger.work"])}
        whose = {path.stem.rpartition("_")[2] for path in folder.glob("*.db")}
        assert whose <= {*engine.parts(), str(engine.process.pid)}
        assert httpx.get(f"{engine.url}/metrics").is_success


def figures(pid: int | None) -> set[Path]:
    """The files that a part counts in."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return {
            Path(line.split()[-1])
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
            if "/lastro-metrics-" in line
        }
    return set()


def test_a_killed_web_process_refuses_no_connection() -> None:
    with running("ledger") as engine:
        statuses = []
        for _ in range(4):
            os.kill(engine.parts()["web.1"], signal.SIGKILL)
            with suppress(httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):  # the one that died had it
                statuses.append(httpx.get(f"{engine.url}/livez", timeout=20).status_code)
            statuses.append(httpx.get(f"{engine.url}/livez", timeout=20).status_code)
        assert set(statuses) == {200}


def test_a_port_that_is_taken_is_told_in_a_sentence() -> None:
    with running("ledger") as engine, (engine.folder / "second.log").open("ab") as log:
        environment = {**os.environ, "LASTRO_DATA_DIR": str(engine.folder), "LASTRO_HTTP_PORT": str(engine.port)}
        assert start("up", "ledger", environment=environment, log=log).wait(STOP_SECONDS) == 1
        told = (engine.folder / "second.log").read_text()
        assert f"Nothing can listen on 127.0.0.1:{engine.port}" in told
        assert "LASTRO_HTTP_PORT" in told
        assert "Traceback" not in told


def test_a_port_of_a_played_processor_that_is_taken_is_told_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        chosen = {"LASTRO_PAYMENTS_PROCESSOR_DEFAULT_URL": f"http://{address}"}
        with running("payments", "--simulate", **chosen) as engine:
            sentence = f"nothing can listen on {address} (Address already in use): stop what does"
            until(lambda: sentence in engine.log.read_text(), READY_SECONDS, "it does not say so")
            assert "Traceback" not in engine.log.read_text()


def test_a_domains_wrong_setting_is_told_in_a_sentence_before_anything_starts() -> None:
    with TemporaryDirectory(prefix="lastro-") as folder, (Path(folder) / "log").open("ab") as log:
        environment = {**os.environ, "LASTRO_DATA_DIR": folder, "LASTRO_PIX_MODE": "foo"}
        assert start("up", environment=environment, log=log).wait(STOP_SECONDS) == os.EX_CONFIG
        told = (Path(folder) / "log").read_text()
        assert "LASTRO_PIX_MODE" in told
        assert "Traceback" not in told
        assert {path.name for path in Path(folder).iterdir()} == {"log"}


def test_a_single_process_whose_worker_fails_at_once_ends_with_a_sentence_instead_of_serving_without_it() -> None:
    with TemporaryDirectory(prefix="lastro-") as folder, (Path(folder) / "log").open("ab") as log:
        variables = {"LASTRO_DATA_DIR": folder, "LASTRO_HTTP_PORT": "0", "LASTRO_COUPONS_DATABASE_URL": "foo://x"}
        assert start("up", "--single", environment={**os.environ, **variables}, log=log).wait(20) == os.EX_CONFIG
        told = (Path(folder) / "log").read_text()
        assert "LASTRO_COUPONS_DATABASE_URL: sqlite or postgresql, not foo" in told
        assert "Traceback" not in told


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence() -> None:
    with TemporaryDirectory(prefix="lastro-") as folder, (Path(folder) / "log").open("ab") as log:
        (Path(folder) / "file").touch()
        environment = {**os.environ, "LASTRO_DATA_DIR": f"{folder}/file/below"}
        assert start("up", environment=environment, log=log).wait(STOP_SECONDS) == 1
        assert "set LASTRO_DATA_DIR" in (Path(folder) / "log").read_text()


def test_one_process_is_enough_for_a_container() -> None:
    with running("ledger", "--single") as engine:
        assert set(engine.parts()) <= {"valkey-server", "redis-server"}
        engine.process.terminate()
        assert engine.process.wait(STOP_SECONDS) == 0


def test_a_web_process_alone_takes_payments_and_a_worker_alone_settles_them() -> None:
    with running("pix", "--single", "--only", "web") as web:
        store = adopt(web.folder)
        assert store is not None
        ispbs = ("99990001", "99990002")
        for ispb in ispbs:
            funding = {"id": "open", "amount_cents": 1000}
            assert httpx.post(f"{web.url}/pix/participants/{ispb}/funding", json=funding).is_success
        identity = make_end_to_end_id(ispbs[0], datetime.now(UTC), "00000000001")
        payment = {"end_to_end_id": identity, "payer": ispbs[0], "payee": ispbs[1], "amount": "1.00"}
        assert httpx.post(f"{web.url}/pix/payments", json=payment).status_code == 202
        assert httpx.get(f"{web.url}/pix/payments/{identity}").status_code == 404
        with running("pix", "--single", "--only", "work", LASTRO_REDIS_URL=store.url) as work:
            until(lambda: httpx.get(f"{web.url}/pix/payments/{identity}").is_success, READY_SECONDS, "nobody works")
            assert httpx.post(f"{work.url}/pix/payments", json=payment).status_code == 404
            assert "lastro_" in httpx.get(f"{work.url}/metrics").text
