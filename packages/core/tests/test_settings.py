"""Settings: read once, named in errors, masked in print."""

from pathlib import Path

import pytest
from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from lastro.core.cli import main
from lastro.core.errors import Misconfigured
from lastro.core.settings import Environment, Settings, refuse_unknown, variables


class Sample(Environment):
    """A domain's settings."""

    model_config = SettingsConfigDict(env_prefix="LASTRO_SAMPLE_")

    stream: str = Field("default", validation_alias=AliasChoices("LASTRO_SAMPLE_STREAM", "REDIS_STREAM"))
    batch: int = Field(10, gt=0)


def test_the_original_name_works_and_the_prefixed_one_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_STREAM", "original")
    assert Sample.read().stream == "original"
    monkeypatch.setenv("LASTRO_SAMPLE_STREAM", "ours")
    assert Sample.read().stream == "ours"


@pytest.mark.parametrize("value", ["many", "0", "-1", ""])
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LASTRO_SAMPLE_BATCH", value)
    with pytest.raises(Misconfigured, match=r"^LASTRO_SAMPLE_BATCH: "):
        Sample.read()


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(Misconfigured, match=r"^LASTRO_SAMPLE_BACH: no such setting, did you mean LASTRO_SAMPLE_BATCH"):
        refuse_unknown([Settings, Sample], ["PATH", "REDIS_STREAM", "LASTRO_SAMPLE_BACH"])
    refuse_unknown([Settings, Sample], ["PATH", "REDIS_STREAM", "LASTRO_SAMPLE_BATCH", "LASTRO_REDIS_URL"])


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Sample.read().batch = 3  # type: ignore[misc]  # that is the test


def test_every_setting_says_what_it_means() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_a_secret_is_never_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://user:hunter2@localhost:6379/0")
    main(["settings", "--json"])
    assert "hunter2" not in capsys.readouterr().out
    assert "hunter2" not in repr(Settings.read())


def test_the_prefixed_variable_comes_first() -> None:
    assert variables(Settings)["redis_url"] == ("LASTRO_REDIS_URL", "REDIS_URL")
    assert Settings(data_dir=Path("/tmp/x")).data_dir == Path("/tmp/x")  # noqa: S108  # nothing is written there
