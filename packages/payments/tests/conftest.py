"""What all tests of payments share."""

import pytest


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A summary waits for a machine that stands still; how long it waits at most is a test of its own."""
    monkeypatch.setenv("LASTRO_PAYMENTS_REDIS_TIMEOUT", "20")
