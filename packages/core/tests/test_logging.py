"""Logs: one event per verb, ids bound at the edge, no secret."""

import errno
import io
import json
import sys
from typing import Literal

import pytest
import structlog

from lastro.core.errors import Misconfigured
from lastro.core.logging import configure, mask_url
from lastro.core.redis import connect_url


def test_json_lines_carry_what_was_bound_and_hide_what_is_secret(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "info")
    with structlog.contextvars.bound_contextvars(worker="w1"):
        structlog.get_logger().info(
            "sample.done", url="redis://u:hunter2@h", api_key="hunter2", deep={"password": "hunter2"}, amount_cents=5
        )
    line = capsys.readouterr().err
    assert "hunter2" not in line
    event = json.loads(line)
    assert (event["event"], event["worker"], event["amount_cents"]) == ("sample.done", "w1", 5)
    assert "request_id" not in event


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_tells_where_and_none_of_the_values_there(
    form: Literal["console", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(form, "info")
    header = "Bearer hunter2"
    try:
        raise ConnectionError("redis://u:hunter3@h is away", len(header))
    except ConnectionError:
        structlog.get_logger().exception("sample.failed")
    told = capsys.readouterr().err
    assert "test_a_traceback_tells_where" in told
    assert "is away" in told
    assert "hunter" not in told


def test_below_the_level_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure("console", "warning")
    structlog.get_logger().info("sample.done")
    assert capsys.readouterr().err == ""


def test_a_line_goes_where_standard_error_is_when_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    before, now = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", before)
    configure("json", "info")
    before.close()
    monkeypatch.setattr(sys, "stderr", now)
    structlog.get_logger().info("sample.done")
    assert "sample.done" in now.getvalue()


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_finds_no_room_is_lost_and_no_work_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", FullDisk())
    configure("json", "info")
    structlog.get_logger().info("sample.lost")
    now = io.StringIO()
    monkeypatch.setattr(sys, "stderr", now)
    structlog.get_logger().info("sample.done")
    assert "sample.lost" not in now.getvalue()
    assert "sample.done" in now.getvalue()


def test_a_url_without_a_password_stays_as_it_is() -> None:
    assert mask_url("unix:///run/redis.sock") == "unix:///run/redis.sock"
    assert mask_url("redis://:x@h:1/0") == "redis://:•••@h:1/0"
    assert mask_url("redis://h:1/0") == "redis://h:1/0"
    assert mask_url("unix:///s?db=0&password=x&y=1") == "unix:///s?db=0&password=•••&y=1"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://:first@SECRET@h:1/0", "redis://:•••@h:1/0"),
        ("redis://me:first@SECRET@h:1/0 is away", "redis://me:•••@h:1/0 is away"),
        ("redis://:pa/SECRET@h:1/0", "redis://:•••@h:1/0"),
        ("redis://me:pa?SECRET@h", "redis://me:•••@h"),
        ("redis://:1/SECRET@h", "redis://:•••@h"),
        ("https://SECRET@h/x", "https://•••@h/x"),
        ("https://SECRET@h:80/x", "https://•••@h:80/x"),
        ("sqs://eu/q?aws_secret_access_key=SECRET&key=field", "sqs://eu/q?aws_secret_access_key=•••&key=field"),
        ("https://h/x?Access_Token=SECRET", "https://h/x?Access_Token=•••"),
        ("postgresql://h/db?sslpassword=SECRET user=me", "postgresql://h/db?sslpassword=••• user=me"),
        ("host=h password=SECRET user=me", "host=h password=••• user=me"),
        ("http://h:8080/people/a@b?key=x", "http://h:8080/people/a@b?key=x"),
        ("kafka://h:9092/topic?key=field", "kafka://h:9092/topic?key=field"),
    ],
)
def test_a_secret_in_a_url_is_hidden_whatever_it_is_made_of(url: str, masked: str) -> None:
    assert mask_url(url) == masked


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["redis", "redis+sentinel", "redis+cluster"])
@pytest.mark.parametrize("password", ["first/SECRET", "first@SECRET", "SECRET/last", "SECRET?last", "a,h:SECRET/last"])
async def test_a_url_that_cannot_be_read_is_refused_without_its_password(kind: str, password: str) -> None:
    """What is behind a slash is no port, and the standard library says so with what stands before it."""
    with pytest.raises(Misconfigured) as refused:
        await connect_url(f"{kind}://:{password}@127.0.0.1:x/0")
    assert "SECRET" not in str(refused.value)
