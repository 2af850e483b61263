"""The images, without a container engine: linted, and built and run in a copy of their file tree by their own steps."""

import json
import os
import re
import shlex
import shutil
import signal
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
import yaml  # type: ignore[import-untyped]  # theirs

from lastro.core.local import Server
from lastro.core.testing import free_port, start_server
from lastro.core.testing.edge import certify
from lastro.core.testing.engine import READY_SECONDS, until

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "ops/docker/Dockerfile"
COMPOSE = yaml.safe_load((ROOT / "ops/compose.yaml").read_text())
COMPOSE_RINHA = yaml.safe_load((ROOT / "ops/compose.rinha.yaml").read_text())
POD = (ROOT / "ops/helm/lastro/templates/_helpers.tpl").read_text()
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
        """This stage, and before it those that it stands on; what was made before is only put in its place again."""
        if name in self.kept:
            shutil.rmtree(self.home)
            shutil.copytree(self.kept[name], self.home, symlinks=True)
            return
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


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="lastro-") as name:
        Path(name).chmod(0o777)  # a tmpfs
        yield Path(name)


@pytest.fixture
def store(folder: Path) -> Iterator[Server]:
    running = start_server(folder / "store")
    (folder / "store").chmod(0o755)  # nobody connects to it
    running.socket.chmod(0o777)
    yield running
    running.stop()


def launched(build: Build, words: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """This command of an image, as nobody, who may write nothing but ``folder``; what it says goes to its ``log``."""
    user = NOBODY if os.getuid() == 0 and for_nobody(PYTHON) else None
    told = {**environment, "TMPDIR": str(folder), "LASTRO_DATA_DIR": str(folder)}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(words, cwd=build.home, env=told, user=user, group=user, stdout=log, stderr=log)


@contextmanager
def started(
    build: Build, service: str, folder: Path, words: tuple[str, ...], **variables: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """What the image runs, and these words behind it, once it is healthy; stopped, it ends with 0."""
    command, environment = build.exec(service, "CMD", **variables)
    process = launched(build, [*command, *words], folder, environment)

    def healthy() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        return is_healthy(build, service, **variables)

    try:
        until(healthy, READY_SECONDS, "it does not get healthy")
        yield process
        process.terminate()
        assert process.wait(20) == 0, (folder / "log").read_text()
    finally:
        process.kill()


def is_healthy(build: Build, service: str, **variables: str) -> bool:
    """What the image's own health check says."""
    health, environment = build.exec(service, "HEALTHCHECK", **variables)
    return subprocess.run(health, env=environment, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_built_by_its_own_steps_and_runs_healthy_as_nobody(
    build: Build, folder: Path, store: Server, service: str
) -> None:
    """It refuses to stand open on a network; told what is in front of it, it answers; stopped, it ends with 0."""
    build.make(service)
    mine = {"LASTRO_REDIS_URL": store.url, "LASTRO_HTTP_PORT": str(free_port())}
    command, environment = build.exec(service, "CMD", **mine)
    open_to_all = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert open_to_all.returncode == os.EX_CONFIG
    assert "LASTRO_API_KEYS" in open_to_all.stderr
    told = {**mine, "LASTRO_API_KEYS": "on", "LASTRO_TLS": "off"}
    if service in {"coupons", "all"}:
        told["LASTRO_COUPONS_SECRET"] = token_hex()
    assert not is_healthy(build, service, **told)
    for words in ((), ("--only", "web"), ("--only", "work")):  # as compose has it, and the chart
        with started(build, service, folder, words, **told) as process:
            time.sleep(0.5)
            assert process.poll() is None
    command, environment = build.exec(service, "ENTRYPOINT", **told)
    for said in (["keys", "create", "me", "--scope", "admin"], ["metrics", "--grafana", str(folder / "made")]):
        subprocess.run([*command, *said], env=environment, capture_output=True, check=True)
    assert list((folder / "made").iterdir())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_challenges_image_listens_on_a_socket_and_its_health_check_asks_there(
    build: Build, folder: Path, store: Server
) -> None:
    """With the settings of the compose file, and nobody at the processors' addresses."""
    build.make("payments")
    settings = COMPOSE_RINHA["services"]["api1"]["environment"]
    here = {"LASTRO_REDIS_URL": store.url, "LASTRO_HTTP_SOCKET": str(folder / "api1.sock")}
    assert here.keys() <= settings.keys()
    told = {**settings, **here}
    assert not is_healthy(build, "payments", **told)
    with started(build, "payments", folder, (), **told):
        assert (folder / "api1.sock").is_socket()
    assert not is_healthy(build, "payments", **told)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.needs("openssl")
def test_a_health_check_asks_over_tls_where_the_service_speaks_it(build: Build, folder: Path, store: Server) -> None:
    """As in the chart with a ``tlsSecret``; and what the chart runs before a pod is stopped is there and ends well."""
    build.make("pix")
    certify(folder, "localhost")
    (folder / "key.pem").chmod(0o644)
    told = {
        "LASTRO_REDIS_URL": store.url, "LASTRO_HTTP_PORT": str(free_port()), "LASTRO_API_KEYS": "on",
        "LASTRO_TLS_CERTIFICATE": str(folder / "cert.pem"), "LASTRO_TLS_KEY": str(folder / "key.pem"),
    }  # fmt: skip
    with started(build, "pix", folder, ("--only", "web"), **told):
        plain = {name: value for name, value in told.items() if name != "LASTRO_TLS_CERTIFICATE"}
        assert not is_healthy(build, "pix", **plain)
        (hook,) = re.findall(r"preStop:\n\s+exec:\n(?:\s+#.*\n)*\s+command: (.+)", POD)
        words = [word.replace(HOME, str(build.home)) for word in yaml.safe_load(hook)]
        assert launched(build, words, folder, {}).wait(20) == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_image_of_all_checks_once_and_on_and_on_and_draws_the_dashboards(
    build: Build, folder: Path, store: Server
) -> None:
    """The chart's check, the compose file's, and its dashboards, which go into a folder that the image has for them."""
    build.make("all")
    entrypoint, environment = build.exec("all", "ENTRYPOINT", LASTRO_REDIS_URL=store.url)
    assert launched(build, [*entrypoint, "check"], folder, environment).wait(60) == 0, (folder / "log").read_text()
    assert "adds up" in (folder / "log").read_text()
    (folder / "log").unlink()
    words = COMPOSE["services"]["check"]["command"]
    checking = launched(build, [*entrypoint, *words], folder, environment)
    until(lambda: "adds up" in (folder / "log").read_text(), READY_SECONDS, "it does not check")
    assert checking.poll() is None
    checking.terminate()
    assert checking.wait(20) == -signal.SIGTERM
    words = [word.replace(HOME, str(build.home)) for word in COMPOSE["services"]["dashboards"]["command"]]
    assert launched(build, [*entrypoint, *words], folder, environment).wait(60) == 0, (folder / "log").read_text()
    assert list((build.home / "dashboards").glob("*.json"))
