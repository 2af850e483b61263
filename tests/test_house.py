"""The architecture as tests: what `docs/house_style.md` and ARCHITECTURE.md say, checked."""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.resources import files
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

import lastro
from lastro.core.app import create_app
from lastro.core.plugins import Face, installed, plugs
from lastro.core.redis.clients import Client
from lastro.core.scripts import REGISTRY
from lastro.core.settings import Settings

ROOT = Path(__file__).parent.parent
DOMAINS = ["coupons", "ledger", "payments", "pix"]
SHAPE = {"__init__", "model", "errors", "keys", "settings", "scripts", "engine", "api", "cli", "worker"}
LIMITS = {"*.py": 400, "*.lua": 120, "test_*.py": 500}
FACES: tuple[Face, ...] = ("lastro.routers", "lastro.commands", "lastro.settings")
FUNCTION_LINES_MAX = 50
LONGER = dict[str, int]()
"""Files and functions past their limit, each with a number that may only fall."""


def here() -> list[str]:
    """The domains of this checkout that are installed: one may be taken away, and the rest is whole."""
    return [domain for domain in DOMAINS if (ROOT / "packages" / domain).exists()]


def test_every_domain_is_discovered_by_each_of_its_faces() -> None:
    for face in FACES:
        assert list(plugs(face)) == here(), face


@pytest.mark.parametrize("domain", here())
def test_every_domain_has_the_same_shape(domain: str) -> None:
    names = {entry.name.removesuffix(".py") for entry in files(f"lastro.{domain}").iterdir()}
    assert names >= SHAPE, f"missing in {domain}: {SHAPE - names}"


@pytest.mark.parametrize("domain", here())
def test_every_lua_file_has_a_stub_and_every_stub_a_file(domain: str) -> None:
    """Header and signature are compared when a stub is bound: importing is the test."""
    import_module(f"lastro.{domain}.scripts")
    on_disk = {entry.name[:-4] for entry in files(f"lastro.{domain}.scripts").iterdir() if entry.name.endswith(".lua")}
    assert on_disk == {name.split(".")[1] for name in REGISTRY if name.startswith(f"{domain}.")}


@pytest.mark.anyio
async def test_every_script_compiles_to_its_sha(redis: Client) -> None:
    for domain in here():
        import_module(f"lastro.{domain}.scripts")
    for script in REGISTRY.values():
        assert await redis.execute_command("SCRIPT LOAD", script.source.text) == script.source.sha


def test_the_namespace_has_no_init() -> None:
    assert getattr(lastro, "__file__", None) is None


@pytest.mark.parametrize("path", sorted((ROOT / "packages").rglob("*.lua")), ids=lambda path: path.name)
def test_every_script_opens_with_its_contract(path: Path) -> None:
    """Rule 5: a sentence, then each KEYS and ARGV, then what it returns; fragments say what each function does."""
    head = [line for line in path.read_text().splitlines() if not line.startswith(("-- @include", "--!df"))]
    assert re.match(r"-- [A-Z0-9a-z].+", head[0]), f"{path.name} does not open with a sentence"
    if path.parent.name not in {"lua", "parts"}:
        assert any(line.strip().startswith(("--   returns", "--   code")) for line in head), f"{path.name}: returns?"


def _lines(pattern: str) -> list[tuple[str, int]]:
    return [
        (str(path.relative_to(ROOT)), len(path.read_text().splitlines()))
        for folder in ("packages", "services", "tests", "benchmarks")
        for path in (ROOT / folder).rglob(pattern)
    ]


@pytest.mark.parametrize(("pattern", "limit"), LIMITS.items())
def test_no_file_is_longer_than_its_limit(pattern: str, limit: int) -> None:
    tests = {name for name, _ in _lines("test_*.py")} if pattern == "*.py" else set[str]()
    long = {name: n for name, n in _lines(pattern) if n > LONGER.get(name, limit) and name not in tests}
    assert not long, f"split by business act: {long}"


def test_no_function_is_longer_than_its_limit() -> None:
    import ast

    long = {}
    for name, _ in _lines("*.py"):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGER.get(f"{name}:{node.name}", FUNCTION_LINES_MAX):
                    long[f"{name}:{node.name}"] = lines
    assert not long, f"look for the missing noun: {long}"


def test_no_key_is_spelled_outside_keys_py() -> None:
    """A literal with a hash tag is a key; keys.py is the schema, and a test may name what it plants."""
    spelled = re.compile(r"""f?["'][\w:]*\{\{?(?:pix|payments|ledger|coupon)\b""")
    guilty = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "packages").rglob("src/**/*.py")
        if path.name != "keys.py" and path.parent.name != "keys"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if spelled.search(line)
    ]
    assert not guilty


def test_ci_installs_every_program_that_a_test_needs() -> None:
    """But for what packages bring. A browser is asked for by its fixture."""
    texts = [path.read_text() for folder in ("packages", "tests") for path in (ROOT / folder).rglob("*.py")]
    needed = {name for text in texts for name in re.findall(r'needs\("([\w-]+)"\)', text)} | {"chromium"}
    brought = {name for name in needed if (Path(sys.executable).parent / name).exists()}
    (listed,) = re.findall(r'^needed="(.+)"$', (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert needed - brought == set(listed.split())


def test_help_imports_no_web_framework_and_no_domain() -> None:
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lastro.core.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ledger" in told.stdout
    for heavy in ("fastapi", "starlette", "redis.asyncio", "lastro.ledger"):
        assert f"| {heavy}" not in told.stderr.replace("  ", ""), heavy


def test_every_face_can_be_imported() -> None:
    assert set(installed("lastro.routers")) == set(here())


def test_no_endpoint_and_no_dependency_waits_for_a_thread() -> None:
    """FastAPI calls a plain function on a thread, and there are forty of them."""
    app = create_app(installed("lastro.routers"), Settings())
    looked_at = [route.dependant for route in _endpoints(app.routes)]
    assert len(looked_at) > len(here())
    for dependant in looked_at:
        looked_at += dependant.dependencies
        assert iscoroutinefunction(dependant.call), dependant.call


def _endpoints(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif (included := getattr(route, "original_router", None)) is not None:
            yield from _endpoints(included.routes)


def test_nothing_committed_names_a_registry_or_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    forbidden = re.compile(r"https?://[^\s/]*(?:pypi|pythonhosted|npmjs|deb\.debian)|/(?:wor)k/", re.IGNORECASE)
    guilty = [
        name
        for name in listed
        if name != "tests/test_house.py"
        and (ROOT / name).is_file()
        and forbidden.search((ROOT / name).read_text(errors="replace"))
    ]
    assert not guilty
