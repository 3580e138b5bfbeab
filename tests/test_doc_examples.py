"""What the documents show works as it stands there: files compose, code declares, tests pass, commands exist."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from echopilot_jobs import builtin, declaring
from echopilot_jobs.cli.door import VERBS
from echopilot_jobs.jobsfile import Document, compose, modules_of, read
from echopilot_jobs.settings import Settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md"])
REFERENCE = "jobs.md"  # its examples are single keys, and tests/jobsfile/test_reference.py tries each


class Block(NamedTuple):
    """A fenced block: where it stands, in what language, and what it says."""

    place: str
    language: str
    text: str


def blocks_of(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        yield Block(f"{path.name}:{text.count(chr(10), 0, found.start()) + 1}", found[1], found[2])


BLOCKS = [block for path in DOCUMENTS if path.name != REFERENCE for block in blocks_of(path)]


def of(language: str) -> Any:
    found = [block for block in BLOCKS if block.language == language]
    return pytest.mark.parametrize("block", found, ids=[block.place for block in found])


@of("toml")
def test_every_file_that_is_shown_composes_I28(block: Block, settings: Settings) -> None:
    user = read(block.text.encode(), "jobs.toml")

    composed = compose(builtin.document(settings), user, environ={})

    assert set(user.tables.get("jobs", {})) <= set(composed.registry)
    assert user.tables.get("jobs") or modules_of(user)


@of("python")
def test_all_code_that_is_shown_can_be_used(
    block: Block, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType("shown")
    monkeypatch.setitem(sys.modules, "shown", module)
    monkeypatch.setattr(declaring, "_declared", {})

    exec(compile(block.text, block.place, "exec"), module.__dict__)

    jobs = {each.pop("name"): {**each, "module": None, "line": None} for each in declaring.declared()}
    tables = {name: {key: value for key, value in table.items() if value is not None} for name, table in jobs.items()}
    composed = compose(builtin.document(settings), code=[Document("shown", {"jobs": tables})], environ={})
    assert ("@job" in block.text) == bool(jobs)
    assert set(jobs) <= set(composed.registry)
    for name, test in [*vars(module).items()]:
        if name.startswith("test_"):
            test(**dict.fromkeys(inspect.signature(test).parameters, tmp_path))


@of("python")
def test_the_code_that_is_shown_runs_as_a_job(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from echopilot_jobs.testing import run_now

    monkeypatch.chdir(tmp_path)
    module = ModuleType("shown")
    monkeypatch.setitem(sys.modules, "shown", module)
    monkeypatch.setattr(declaring, "_declared", {})
    exec(compile(block.text, block.place, "exec"), module.__dict__)
    shown = [each for each in vars(module).values() if inspect.isfunction(each) and each.__module__ == "shown"]
    works = [each for each in shown if not each.__name__.startswith("test_") and _is_job(each)]

    ended = [run_now(each, folder=tmp_path) for each in works]

    assert ended
    assert {str(each.state) for each in ended} <= {"succeeded", "cancelled"} or "RetryAfter" in block.text
    assert [each.error for each in ended if each.state == "failed" and "RetryAfter" not in str(each.error)] == []


def _is_job(function: Any) -> bool:
    return [*inspect.signature(function).parameters] in ([], ["ctx"])


def commands() -> list[tuple[str, list[str]]]:
    """Every `echopilot …` in blocks and in running text, with its place."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    pattern = re.compile(r"(?:^|`|\| )echopilot ([a-z-]+)([^`\n#|]*)", flags=re.MULTILINE)
    return [
        (f"{name}:{text.count(chr(10), 0, said.start(1)) + 1}", [said[1], *said[2].split()])
        for name, text in texts.items()
        for said in pattern.finditer(text)
    ]


@pytest.mark.parametrize(("place", "words"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_that_is_shown_exists_with_its_options(place: str, words: list[str]) -> None:
    verb, *rest = words
    assert verb in VERBS, f"{place}: no verb '{verb}'"
    command = import_module(f"echopilot_jobs.cli.{verb.replace('-', '_')}").command
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}

    options = [word.partition("=")[0] for word in rest if word.startswith("--")]
    if rest and not rest[0].startswith("-") and rest[0] in getattr(command, "commands", {}):
        known |= {option for param in command.commands[rest[0]].params for option in param.opts}
    assert [option for option in options if option not in known] == []


def test_there_is_something_to_try() -> None:
    languages = [block.language for block in BLOCKS]

    assert languages.count("toml") >= 20
    assert languages.count("python") >= 7
    assert len(commands()) >= 40
    assert all(textwrap.dedent(block.text) == block.text for block in BLOCKS if block.language in ("toml", "python"))
