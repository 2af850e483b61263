"""What the documents tell people to type is typed here: commands, examples, links."""

import os
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from lastro.core import errors
from lastro.core.cli import main
from lastro.core.plugins import plugs

ROOT = Path(__file__).parent.parent
PLACES = ("*.md", "packages/*/README*.md", "docs/*.md", "ops/*.md", "benchmarks/*.md")
DOCUMENTS = sorted(path for place in PLACES for path in ROOT.glob(place))
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
BLOCK = re.compile(r"^```(?:sh|bash|console)?\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:lastro|make|pytest|python) [^`\n]+)`")
ABBREVIATED = re.compile(r"[|…<{\[]")
"""``lastro ledger account create|show`` names commands; it is not one."""


def commands(name: str) -> list[str]:
    """Every command of a document: lines of its shell blocks, and what stands in the text as a command."""
    text = (ROOT / name).read_text()
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    found = [re.split(r"\s{2,}|\s+#\s", line.strip())[0] for line in lines] + INLINE.findall(text)
    wanted = [line for line in found if line.startswith(("lastro ", "make ", "pytest ", "python ")) or line == "make"]
    return [line.rstrip("& ") for line in dict.fromkeys(wanted) if not ABBREVIATED.search(line)]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_in_a_document_exists_and_takes_these_words(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in commands(name):
        words = shlex.split(command)
        match words[0]:
            case "make":
                assert {word for word in words[1:] if "=" not in word} <= TARGETS, command
            case "pytest":
                assert selects(words[1:]), command
            case "python":
                assert (ROOT / words[1]).exists(), command
            case _:
                assert takes(words[1:], capsys), f"{name}: {command}"


def test_every_code_that_the_runbook_looks_for_is_one_that_is_answered() -> None:
    answered = {
        found.code
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, errors.LastroError)
    }
    told = set(re.findall(r"`(lastro\.\w+)`", (ROOT / "ops/runbook.md").read_text()))
    assert told
    assert told <= answered


def selects(words: list[str]) -> bool:
    """Whether there are such tests: the files exist, and one of their names has the word of ``-k``."""
    files = [ROOT / word for word in words if word.startswith(("packages", "tests"))]
    if "-k" not in words or not all(file.exists() for file in files):
        return all(file.exists() for file in files)
    word = words[words.index("-k") + 1]
    return any(re.search(rf"def test_\w*{word}", file.read_text()) for file in files)


def takes(words: list[str], capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether ``lastro`` has this command and these options."""
    path: list[str] = []
    for word in words:
        if not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        path.append(word)
    given = len(path)
    while path:
        with suppress(Exception):  # no such command: the last word is an argument
            main([*path, "--help"])
            told = capsys.readouterr().out
            options = {word.split("=")[0] for word in words if word.startswith("--")} - {"--help"}
            group = "COMMAND [ARGS]" in told  # what follows its name must be one of its commands, not an argument
            return all(option in told for option in options) and not (group and len(path) < given)
        path.pop()
    return words == ["--help"]


def test_a_command_that_does_not_exist_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    assert takes(["ledger", "check"], capsys)
    assert takes(["pix", "homologate", "--tier", "large"], capsys)
    assert not takes(["frobnicate"], capsys)
    assert not takes(["ledger", "frobnicate"], capsys)
    assert not takes(["pix", "homologate", "--fast"], capsys)


@pytest.mark.parametrize("name", NAMES)
def test_every_link_in_a_document_leads_somewhere(name: str) -> None:
    here = (ROOT / name).parent
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", (ROOT / name).read_text()):
        assert (here / target).exists(), f"{name}: {target}"


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_an_example_runs_on_the_embedded_server(example: str, tmp_path: Path) -> None:
    environment = {**os.environ, "LASTRO_DATA_DIR": str(tmp_path)}
    command = [sys.executable, f"examples/{example}"]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 0, told.stderr
    assert told.stdout


def test_every_domain_has_an_example_and_a_readme() -> None:
    for domain in plugs("lastro.routers"):
        assert (ROOT / "examples" / f"{domain}.py").exists(), domain
        assert "```" in (ROOT / "packages" / domain / "README.md").read_text(), domain
