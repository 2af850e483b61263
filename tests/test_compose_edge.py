"""The balancers and the gateway as the compose files run them: their words, files, settings and health checks.

Only places differ: folders, ports and the name of the balancer are those of this machine.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # theirs

from lastro.core.testing import free_port
from lastro.core.testing.edge import OPS, PATH, READY_SECONDS, STOP_SECONDS, Proxy
from lastro.core.testing.engine import until

pytestmark = [pytest.mark.needs("haproxy"), pytest.mark.needs("nginx"), pytest.mark.needs("openssl")]

IMAGES_USER = "99:99"
"""Of the balancer's image, where the compose file names none."""


@dataclass
class Machine:
    """Where things of a container are on this one."""

    folder: Path
    places: dict[str, str]

    def here(self, text: str) -> str:
        """A text with this machine's places."""
        return re.sub("|".join(map(re.escape, self.places)), lambda found: self.places[found[0]], text)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with TemporaryDirectory(prefix="lastro-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # a container's user is somebody else
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)
        subprocess.run([str(OPS / "secrets"), str(folder / "secrets")], check=True)
        (folder / "secrets").chmod(0o755)
        folders = {"/etc/lastro": f"{folder}/etc", "/run/secrets": f"{folder}/secrets", "/tmp": f"{folder}/tmp"}  # noqa: S108  # the containers'
        ports = {port: str(free_port()) for port in ("8080", "8443", "9999")}
        yield Machine(folder, {**folders, "/sockets": str(folder), "haproxy:": "127.0.0.1:", **ports})


@dataclass
class Container:
    """A running service of a compose file."""

    told: dict[str, Any]
    machine: Machine
    proxy: Proxy

    def healthy(self) -> bool:
        """What its health check says."""
        kind, *words = self.told["healthcheck"]["test"]
        assert kind == "CMD"
        told = [self.machine.here(word).replace("$$", "$") for word in words]
        seconds = float(self.told["healthcheck"]["timeout"].removesuffix("s"))
        try:
            return subprocess.run(told, stderr=subprocess.DEVNULL, timeout=seconds, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False


@contextmanager
def container(machine: Machine, file: str, service: str) -> Iterator[Container]:
    """Run a service of a compose file, until it is healthy."""
    told = yaml.safe_load((OPS / file).read_text())["services"][service]
    for volume in told["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("./"):
            copied(OPS / source, Path(machine.here(target)), machine)
    settings = {name: machine.here(str(value)) for name, value in told.get("environment", {}).items()}
    user = int(told.get("user", IMAGES_USER).partition(":")[0]) if os.getuid() == 0 else None
    program, *words = (machine.here(word) for word in told["command"])
    log = machine.folder / f"{service}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [shutil.which(program, path=PATH) or program, *words],
            env={"PATH": PATH, **settings}, user=user, group=user, cwd="/", stdout=out, stderr=out,
        )  # fmt: skip
    running = Container(told, machine, Proxy(process, log))
    try:
        until(lambda: running.healthy() or process.poll() is not None, READY_SECONDS, f"{service} does not get healthy")
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def copied(source: Path, target: Path, machine: Machine) -> None:
    """Put a file, or what is in a folder, where a volume has it, with this machine's places in it."""
    for path in [source] if source.is_file() else source.rglob("*.conf"):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(machine.here(path.read_text()))


each_file = pytest.mark.parametrize("file", ["compose.yaml", "compose.rinha.yaml"])


@each_file
def test_a_balancers_health_check_asks_the_process_that_runs(machine: Machine, file: str) -> None:
    """One that hangs is not healthy, however right its configuration is; nor is one that is gone."""
    with container(machine, file, "haproxy") as balancer:
        (worker,) = balancer.proxy.workers()
        os.kill(worker, signal.SIGSTOP)
        try:
            assert not balancer.healthy()
        finally:
            os.kill(worker, signal.SIGCONT)
        assert balancer.healthy()
    assert not balancer.healthy()


@each_file
def test_a_balancer_is_reloaded_where_it_runs(machine: Machine, file: str) -> None:
    """SIGUSR2, as its configuration says: another worker, and still healthy."""
    with container(machine, file, "haproxy") as balancer:
        before = balancer.proxy.workers()
        balancer.proxy.reload()
        until(lambda: balancer.proxy.workers() - before, READY_SECONDS, "no other worker comes")
        until(lambda: not balancer.proxy.workers() & before, READY_SECONDS, "the one before does not leave")
        assert balancer.healthy()


@pytest.mark.needs("curl")
def test_the_gateway_of_the_compose_file_speaks_to_its_balancer(machine: Machine) -> None:
    """With the site that is shipped, the certificate of `ops/secrets`, and as the user that it says."""
    compose = "compose.yaml"
    with container(machine, compose, "haproxy") as balancer, container(machine, compose, "nginx") as gateway:
        balancer.proxy.process.terminate()
        balancer.proxy.process.wait(STOP_SECONDS)
        assert not gateway.healthy()
