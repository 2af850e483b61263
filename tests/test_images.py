"""The images, without a container engine: linted, and built and run in a copy of their file tree by their own steps."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

import pytest

from lastro.core.testing import free_port, start_server
from lastro.core.testing.engine import READY_SECONDS, until

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "ops/docker/Dockerfile"
SERVICES = ("pix", "ledger", "payments", "coupons", "all")
HOME = "/srv/lastro"
"""Everything in an image stands below it; in a test it stands for a folder of the test's."""
NOBODY = 65534


def for_nobody(python: Path) -> bool:
    """Whether somebody who is nobody may run this."""
    return python.exists() and all(parent.stat().st_mode & 0o001 for parent in python.resolve().parents)


PYTHONS = [Path(sys.base_prefix, "bin/python3"), Path("/usr/bin/python3.11")]
PYTHON = next(filter(for_nobody, PYTHONS), PYTHONS[0])
"""Stands for the base image's; under root's home only root may run it, and then root does."""


@dataclass
class Stage:
    """What a FROM begins."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)


def stages() -> dict[str, Stage]:
    """The Dockerfile, stage by stage."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    found: dict[str, Stage] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", rest.strip()).groups()  # type: ignore[union-attr]  # hadolint has read it
            current = found[name] = Stage(name, base)
        else:
            current.steps.append((word, rest.strip()))
    return found


def allowed(path: str) -> bool:
    """Whether .dockerignore lets this file into a build."""
    patterns = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    folders = [path, *(str(parent) for parent in Path(path).parents)]
    return "__pycache__" not in path and any(fnmatch(folder, pattern) for pattern in patterns for folder in folders)


class Build:
    """A target, built stage by stage; every stage's ``HOME`` is a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        """Where HOME is while a stage is built or run: the paths in a venv are those of where it was made."""
        self.kept: dict[str, Path] = {}
        self.settings: dict[str, dict[str, str]] = {}

    def make(self, name: str) -> None:
        """This stage, and before it those that it stands on."""
        stage = stages()[name]
        needed = [stage.base, *re.findall(r"--from=(\S+)", " ".join(rest for _, rest in stage.steps))]
        for other in needed:
            if other in stages() and other not in self.kept:
                self.make(other)
        shutil.rmtree(self.home, ignore_errors=True)
        if stage.base in self.kept:
            shutil.copytree(self.kept[stage.base], self.home, symlinks=True)
        else:
            self.home.mkdir()
        self.settings[name] = dict(self.settings.get(stage.base, {}))
        for word, rest in stage.steps:
            self.step(name, word, rest)
        self.kept[name] = self.folder / name
        shutil.copytree(self.home, self.kept[name], symlinks=True)

    def step(self, name: str, word: str, rest: str) -> None:
        """One line of the Dockerfile."""
        match word:
            case "COPY":
                self.copy(rest)
            case "RUN":
                self.run(rest)
            case "ENV":
                pairs = dict(pair.split("=", 1) for pair in shlex.split(rest))
                self.settings[name]["ENV"] = json.dumps({**self.environment(name), **pairs})
            case "WORKDIR":
                assert rest == HOME
            case _:
                self.settings[name][word] = rest

    def environment(self, name: str) -> dict[str, str]:
        """What ENV has said so far."""
        found: dict[str, str] = json.loads(self.settings[name].get("ENV", "{}"))
        return found

    def copy(self, rest: str) -> None:
        """From an earlier stage, or from the checkout as far as .dockerignore lets it in."""
        *flags, target = shlex.split(rest)
        sources = [source for source in flags if not source.startswith("--")]
        place = self.home / target.removeprefix(HOME).lstrip("/")
        if flags[0].startswith("--from="):
            (source,) = sources
            origin = self.kept[flags[0].removeprefix("--from=")] / source.removeprefix(f"{HOME}/")
            shutil.copytree(origin, place, symlinks=True)
            return
        listed = subprocess.run(["git", "ls-files", *sources], cwd=ROOT, capture_output=True, text=True, check=True)
        files = [path for path in listed.stdout.split() if allowed(path)]
        assert files, rest
        for path in files:
            into = place / (Path(path).name if target.endswith("/") else Path(path).relative_to(sources[0]))
            into = place if len(files) == 1 and not target.endswith("/") else into
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, into)

    def run(self, command: str) -> None:
        """A RUN, in the copy, with the image's Python in front."""
        names = self.folder / "bin"
        names.mkdir(exist_ok=True)
        if not (names / "python").exists():
            (names / "python").symlink_to(PYTHON)
        environment = {**os.environ, "PATH": f"{names}:/usr/bin:/bin", "HOME": str(self.folder)}
        environment.pop("VIRTUAL_ENV", None)
        told = subprocess.run(
            ["/bin/sh", "-c", command.replace(HOME, str(self.home))],
            cwd=self.home, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr

    def exec(self, name: str, word: str, **variables: str) -> tuple[list[str], dict[str, str]]:
        """The command and the environment of ENTRYPOINT and CMD, or of HEALTHCHECK."""
        said = self.settings[name]
        words = json.loads(said[word][said[word].index("[") :])
        if word == "CMD":
            words = [*json.loads(said["ENTRYPOINT"]), *words]
        environment = {"PATH": "/usr/bin:/bin", **self.environment(name), **variables}
        return [one.replace(HOME, str(self.home)) for one in words], environment


@pytest.fixture(scope="module")
def build() -> Iterator[Build]:
    with TemporaryDirectory(prefix="lastro-image-") as folder:
        Path(folder).chmod(0o755)  # somebody else runs what stands here
        yield Build(Path(folder))


def test_hadolint_finds_nothing_and_nothing_runs_as_root() -> None:
    linted = subprocess.run(
        [str(Path(sys.executable).parent / "hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout
    assert {name for name in stages() if stages()[name].base == "base"} == set(SERVICES)
    assert dict(stages()["base"].steps)["USER"] == "10001:10001"


@contextmanager
def started(
    build: Build, service: str, folder: Path, words: tuple[str, ...], **variables: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """What the image runs, and these words behind it, as nobody, who may write nothing but ``folder``."""
    command, environment = build.exec(service, "CMD", TMPDIR=str(folder), LASTRO_DATA_DIR=str(folder), **variables)
    user = NOBODY if os.getuid() == 0 and for_nobody(PYTHON) else None
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [*command, *words], cwd=build.home, env=environment, user=user, group=user, stdout=log, stderr=log
        )
        yield process
        process.terminate()
        assert process.wait(20) == 0, (folder / "log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_built_by_its_own_steps_and_runs_healthy_as_nobody(build: Build, service: str) -> None:
    """It refuses to stand open on a network; told what is in front of it, it answers; stopped, it ends with 0."""
    build.make(service)
    with TemporaryDirectory(prefix="lastro-") as name:
        folder = Path(name)
        folder.chmod(0o777)  # a tmpfs
        store = start_server(folder / "store")
        (folder / "store").chmod(0o755)  # nobody connects to it
        store.socket.chmod(0o777)
        mine = {"LASTRO_REDIS_URL": store.url, "LASTRO_HTTP_PORT": str(free_port())}
        command, environment = build.exec(service, "CMD", **mine)
        open_to_all = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert open_to_all.returncode == os.EX_CONFIG
        assert "LASTRO_API_KEYS" in open_to_all.stderr
        told = {**mine, "LASTRO_API_KEYS": "on", "LASTRO_TLS": "off"}
        if service in {"coupons", "all"}:
            told["LASTRO_COUPONS_SECRET"] = token_hex()
        health, looked = build.exec(service, "HEALTHCHECK", **told)
        assert subprocess.run(health, env=looked, check=False).returncode == 1
        for words in ((), ("--only", "web"), ("--only", "work")):  # as compose has it, and the chart
            with started(build, service, folder, words, **told) as process:

                def healthy() -> bool:
                    assert process.poll() is None, (folder / "log").read_text()
                    return subprocess.run(health, env=looked, check=False).returncode == 0

                until(healthy, READY_SECONDS, "it does not get healthy")
                time.sleep(0.5)
                assert process.poll() is None
        command, environment = build.exec(service, "ENTRYPOINT", **told)
        for said in (["keys", "create", "me", "--scope", "admin"], ["metrics", "--grafana", str(folder / "made")]):
            subprocess.run([*command, *said], env=environment, capture_output=True, check=True)
        assert list((folder / "made").iterdir())
        store.stop()
