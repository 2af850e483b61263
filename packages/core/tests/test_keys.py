"""Slots are the server's."""

from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from lastro.core.keys import slot
from lastro.core.testing import start_server

KEYS = ["a", "{a}", "x{a}y", "{}a", "{a", "a}b{c}", "{a}{b}", "ção", ""]


def test_a_slot_is_what_the_server_computes() -> None:
    with TemporaryDirectory(prefix="lastro-") as folder:
        server = start_server(Path(folder), "cluster")
        with Redis(unix_socket_path=str(server.socket)) as client:
            assert [client.execute_command("CLUSTER", "KEYSLOT", key) for key in KEYS] == [slot(key) for key in KEYS]
        server.stop()
