"""Tables and their versions: a wrong version is the caller's mistake, not a traceback; a new file is for us alone."""

import os
from pathlib import Path

import pytest

from lastro.core.database import Database, migrate
from lastro.core.errors import Invalid

ENV = "import sqlalchemy as sa\nfrom alembic import context\nfrom lastro.core.database.migrate import run\n"
RUN = 'run(context.config.attributes["connection"], sa.MetaData(), "alembic_version")\n'
FIRST = 'revision = "0001"\ndown_revision = None\n\n\ndef upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n'


def test_a_version_that_is_none_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = tmp_path / "of_nobody" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "of_nobody" / "__init__.py").touch()
    (versions.parent / "env.py").write_text(ENV + RUN)
    (versions / "first.py").write_text(FIRST)
    monkeypatch.syspath_prepend(tmp_path)
    tables = migrate.Tables("of_nobody", head="0001")
    database = Database(f"sqlite:///{tmp_path}/tables.db", 1.0)
    for move in (migrate.upgrade, migrate.downgrade):
        with pytest.raises(Invalid, match=r"^version: .*zzz"):
            move(database, tables, "zzz")
    assert migrate.upgrade(database, tables) == "0001"
    database.engine.dispose()


def test_a_folder_that_is_made_for_a_file_is_for_us_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Database(f"sqlite:///{tmp_path}/new/tables.db", 1.0).engine.dispose()
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
