"""The shipped HAProxy and nginx as processes of their own, in a folder of the test's."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lastro.core.testing.engine import until

READY_SECONDS = 10.0
STOP_SECONDS = 20.0
OPS = Path(__file__).parents[6] / "ops"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


@dataclass(slots=True)
class Proxy:
    """A running master; its workers answer."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def workers(self) -> set[int]:
        """Their pids."""
        return {
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        }

    def reload(self) -> None:
        """Ask for new workers with the configuration as it is now: SIGUSR2 for HAProxy, SIGHUP for nginx."""
        number = signal.SIGUSR2 if "haproxy" in str(self.process.args) else signal.SIGHUP
        self.process.send_signal(number)


@contextmanager
def haproxy(folder: Path, config: Path = OPS / "haproxy/services.cfg", /, **variables: str) -> Iterator[Proxy]:
    """HAProxy with a shipped configuration, on ``edge.sock`` of the folder unless EDGE_BIND says otherwise."""
    socket = folder / "edge.sock"
    defaults = {"EDGE_BIND": f"unix@{socket}", "EDGE_RUN": str(folder), "EDGE_GATEWAY": "127.0.0.1"}
    defaults |= {"PAYMENTS_BIND": f"unix@{socket}", "PAYMENTS_RUN": str(folder), "PAYMENTS_SOCKETS": str(folder)}
    with _running(
        [_found("haproxy"), "-W", "-db", "-f", str(config)],
        folder / "haproxy.log",
        {**os.environ, **defaults, **variables},
    ) as proxy:
        listening = [folder / "haproxy.sock", *([] if "EDGE_BIND" in variables else [socket])]
        until(lambda: all(map(Path.exists, listening)) or proxy.process.poll(), READY_SECONDS, "haproxy does not start")
        assert proxy.process.poll() is None, _said(proxy)
        yield proxy


@contextmanager
def nginx(folder: Path, /, **site: str) -> Iterator[Proxy]:
    """Nginx with the shipped gateway; ``site`` replaces files of ops/nginx/site (``listen``, ``upstream``, …)."""
    settled = folder / "nginx"
    shutil.copytree(OPS / "nginx", settled, dirs_exist_ok=True)
    for name, text in site.items():
        (settled / "site" / f"{name}.conf").write_text(text)
    who = "daemon off;" if os.getuid() else "daemon off; user root;"  # else its workers cannot enter the folder
    command = [_found("nginx"), "-p", str(settled), "-c", str(settled / "gateway.conf"), "-g", who]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)  # noqa: S603  # ours
    assert checked.returncode == 0, checked.stderr
    with _running(command, folder / "nginx.log", dict(os.environ)) as proxy:
        pid = settled / "nginx.pid"  # written when it listens; the check has left an empty one
        until(lambda: pid.stat().st_size or proxy.process.poll(), READY_SECONDS, "nginx does not start")
        assert proxy.process.poll() is None, _said(proxy)
        yield proxy


def certify(folder: Path, name: str) -> None:
    """Write a new self-signed certificate and its key, over those that are there."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-days", "2", "-subj", f"/CN={name}"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *files, *names], check=True, capture_output=True)  # noqa: S603  # ours


@contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[Proxy]:
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)  # noqa: S603  # ours
    try:
        yield Proxy(process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _found(name: str) -> str:
    binary = shutil.which(name, path=PATH)
    assert binary is not None, f"{name} is not installed"
    return binary


def _said(proxy: Proxy) -> str:
    return proxy.log.read_text(errors="replace")
