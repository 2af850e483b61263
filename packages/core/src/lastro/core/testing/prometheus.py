"""A real Prometheus for tests: our configuration and rules, in a hurry."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from lastro.core.testing import free_port
from lastro.core.testing.engine import until

START_SECONDS = 30.0
STOP_SECONDS = 10.0


class Prometheus:
    """The HTTP API of a running one."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ready(self) -> bool:
        """It answers queries."""
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=1).is_success
        except httpx.TransportError:
            return False

    def query(self, expression: str, path: str = "query", **about: float) -> list[dict[str, Any]]:
        """The series of an expression, now; with ``path="query_range"`` between ``start`` and ``end``."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params={"query": expression, **about}, timeout=10).json()
        assert answer["status"] == "success", (expression, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {series["metric"]["alertname"] for series in self.query('ALERTS{alertstate="firing"}')}


def hurried(text: str) -> str:
    """The same rules or configuration with shorter times: what must last minutes lasts seconds, windows are 20 s."""
    text = re.sub(r"(?<=_interval: )\d+s", "500ms", text)
    text = re.sub(r"for: (\d+)m", r"for: \1s", text).replace("for: 30s", "for: 500ms")
    return re.sub(r"\[\d+m\]", "[20s]", text).replace("[7d]", "[5m]")


@contextmanager
def watching(source: Path, url: str) -> Iterator[Prometheus]:
    """Prometheus with the files of ``source`` in a hurry, scraping the engine at ``url``."""
    with TemporaryDirectory(prefix="lastro-prometheus-") as name:
        folder, port = Path(name), free_port()
        for file in ("prometheus.yml", "rules.yml"):
            (folder / file).write_text(hurried((source / file).read_text()))
        (folder / "targets").mkdir()
        (folder / "targets/engine.yml").write_text(json.dumps([{"targets": [url.removeprefix("http://")]}]))
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603  # Debian's, our arguments
        found = Prometheus(f"http://127.0.0.1:{port}")
        try:
            until(found.ready, START_SECONDS, "Prometheus did not come up")
            yield found
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
