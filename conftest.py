"""Real servers for all tests: the fixtures are ``lastro.core.testing``'s, as they are for anybody's own domain."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("lastro", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines stand still
settings.load_profile("lastro")

pytest_plugins = ["lastro.core.testing"]


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """What a module's tests leave open is their failure, not that of the test that the collector comes by in."""
    yield
    gc.collect()
