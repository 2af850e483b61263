"""A back-up, as the runbook has it made and restored."""

import shutil
from pathlib import Path

import pytest

from lastro.core import local
from lastro.core.cli import main


def test_a_copy_of_a_stopped_server_starts_elsewhere_and_adds_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"

    def told(folder: Path, *words: str) -> str:
        monkeypatch.setenv("LASTRO_DATA_DIR", str(folder))
        assert not main(list(words))
        return capsys.readouterr().out

    server = local.start(old)
    told(old, "coupons", "create", "e", "3", "--open")
    told(old, "coupons", "issue", "e", "ana")
    before = told(old, "coupons", "of", "e", "ana")
    server.stop()
    shutil.copytree(old / "appendonlydir", new / "appendonlydir")
    server = local.start(new)
    assert "adds up" in told(new, "check")
    assert told(new, "coupons", "of", "e", "ana") == before
    server.stop()
