"""A domain can be taken away: what is left installs, starts, serves and passes its tests."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastro.core.plugins import plugs

ROOT = Path(__file__).parent.parent
UV = str(Path(sys.executable).parent / "uv")
DOMAINS = list(plugs("lastro.routers"))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, in an environment of its own, as `make setup` makes it."""
    folder = tmp_path_factory.mktemp("house")
    copied = ["packages", "services", "tests", "examples", "ops", "pyproject.toml", "conftest.py", "requirements.lock"]
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in copied), str(folder)], check=True)
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(folder / ".venv")], check=True)
    install(folder, "--require-hashes", "-r", str(folder / "requirements.lock"))
    install(
        folder, "--no-deps", "--no-build-isolation", *(str(folder / "packages" / name) for name in ("core", *DOMAINS))
    )
    return folder


@pytest.fixture
def without(request: pytest.FixtureRequest, house: Path) -> Iterator[str]:
    """The name of the domain that is gone for this test."""
    name = str(request.param)
    package, aside = house / "packages" / name, house / f"aside-{name}"
    subprocess.run([UV, "pip", "uninstall", "--quiet", "--python", python(house), f"lastro-{name}"], check=True)
    package.rename(aside)
    yield name
    aside.rename(package)
    install(house, "--no-deps", "--no-build-isolation", str(package))


def python(folder: Path) -> str:
    """Its interpreter."""
    return str(folder / ".venv/bin/python")


def install(folder: Path, *what: str) -> None:
    """Into its environment."""
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python(folder), *what], check=True)


@pytest.mark.parametrize("without", DOMAINS, indirect=True)
def test_the_rest_starts_serves_and_adds_up_without(house: Path, without: str, tmp_path: Path) -> None:
    environment = {**os.environ, "LASTRO_DATA_DIR": str(tmp_path / "data"), "LASTRO_HTTP_PORT": "0"}
    with subprocess.Popen(
        [house / ".venv/bin/lastro", "up", "--simulate"], env=environment, stdout=subprocess.PIPE, text=True
    ) as engine:
        assert engine.stdout is not None
        rest = [domain for domain in DOMAINS if domain != without]
        assert f"Lastro serves {', '.join(rest)} on" in engine.stdout.readline()
        assert any("commands/s" in line for line in engine.stdout)  # it runs, and tells its status
        engine.terminate()
        said = engine.stdout.read()
        assert engine.wait(30) == 0, said


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("without", DOMAINS, indirect=True)
def test_all_tests_of_the_rest_pass_without(house: Path, without: str) -> None:
    assert without
    passes(house, "packages", "services")


def passes(folder: Path, *tests: str) -> None:
    """These tests pass, in the environment that lacks a domain; on one server, since that makes no difference here."""
    command = [
        str(folder / ".venv/bin/pytest"),
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "2",
        "--dist",
        "loadfile",
        *tests,
    ]
    environment = {**os.environ, "LEGS": "embedded"}
    told = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout[-3000:]
