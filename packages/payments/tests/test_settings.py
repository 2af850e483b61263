"""The original document's names of the settings."""

import pytest

from lastro.core.settings import Settings
from lastro.payments.settings import PaymentsSettings

ORIGINAL = {
    "PROCESSOR_DEFAULT_URL": "http://10.0.0.1:8080",
    "PROCESSOR_FALLBACK_URL": "http://10.0.0.2:8080",
    "NUM_WORKERS": 7,
    "MAX_CONCURRENT_REQUESTS": 50,
    "MAX_RETRIES": 4,
    "REDIS_TIMEOUT": 0.5,
}


@pytest.mark.parametrize("name", ORIGINAL)
def test_an_original_name_is_heard_and_ours_wins_over_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix in ("", "LASTRO_PAYMENTS_"):
        monkeypatch.delenv(f"{prefix}{name}", raising=False)
    standard = getattr(PaymentsSettings.read(), name.lower())
    monkeypatch.setenv(name, str(ORIGINAL[name]))
    assert getattr(PaymentsSettings.read(), name.lower()) == ORIGINAL[name] != standard
    monkeypatch.setenv(f"LASTRO_PAYMENTS_{name}", str(standard))
    assert getattr(PaymentsSettings.read(), name.lower()) == standard


def test_the_store_may_have_its_original_name_and_ours_wins_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LASTRO_REDIS_URL", raising=False)
    told = []
    for name in ("REDIS_URL", "LASTRO_REDIS_URL"):
        monkeypatch.setenv(name, f"redis://{name.lower().replace('_', '-')}:6379")
        url = Settings.read().redis_url
        told.append(url and url.get_secret_value())
    assert told == ["redis://redis-url:6379", "redis://lastro-redis-url:6379"]


def test_the_original_defaults_are_kept() -> None:
    """As the document has them, also where a deployment must raise them."""
    told = {name: PaymentsSettings.model_fields[name].default for name in ("num_workers", "max_concurrent_requests")}
    assert told == {"num_workers": 3, "max_concurrent_requests": 10}
    assert [PaymentsSettings.model_fields[name].default for name in ("max_retries", "redis_timeout")] == [3, 0.2]
