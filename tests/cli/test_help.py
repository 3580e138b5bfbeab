"""Help: verbs in groups, each with an example that could be typed."""

from __future__ import annotations

import re
import shlex
from importlib import import_module

import pytest

from echopilot_jobs.cli.door import GROUPS, VERBS, echopilot


def test_help_shows_every_verb_once_under_a_heading(call):
    answer = call("--help")

    at = [answer.out.index(f"\n{title}:\n") for title in GROUPS]
    assert at == sorted(at)
    for verb in VERBS:
        assert len(re.findall(rf"^  {verb} ", answer.out, re.MULTILINE)) == 1
    assert len(set(VERBS)) == len(VERBS)
    assert "Exit codes: 0 done" in answer.out


def test_help_and_readme_say_of_json_what_is_so(call):
    from pathlib import Path

    without = {name for name in VERBS if not any(each.name == "as_json" for each in verb_named(name).params)}
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")

    assert without == {"completion", "import-crontab", "scheduler"}
    assert "Every verb but `completion`, `import-crontab` and `scheduler` takes `--json`" in readme
    assert "one JSON document, of `logs` one a line" in " ".join(call("--help").out.split())


def verb_named(name):
    return import_module(f"echopilot_jobs.cli.{name.replace('-', '_')}").command


def test_every_verb_has_a_module_and_every_module_that_is_a_verb_is_in_help():
    from pathlib import Path

    import echopilot_jobs.cli as folder

    source = Path(folder.__file__).parent
    verbs = {
        path.stem.replace("_", "-")
        for path in source.glob("*.py")
        if "@click.command(" in path.read_text(encoding="utf-8")
    }
    assert verbs == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_an_example_that_its_own_parser_takes(call, verb, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shown = call(verb, "--help")
    joined = re.sub(r"\s+", " ", shown.out)
    command = import_module(f"echopilot_jobs.cli.{verb.replace('-', '_')}").command

    # It may stand in a pipeline.
    example = re.search(r"Example: (?:[^|]+\| )?(echopilot .+?) Options:", joined)

    assert shown.code == 0
    assert example, joined
    name, *arguments = shlex.split(example[1])[1:]
    assert name == verb
    (tmp_path / "outages.log").touch()
    with command.make_context(verb, arguments, parent=echopilot.make_context("echopilot", [verb])) as context:
        assert context.params is not None


@pytest.mark.parametrize("verb", VERBS)
def test_an_example_can_be_copied_in_one_piece_at_80_columns(call, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    shown = call(verb, "--help").out.splitlines()

    (at,) = (number for number, line in enumerate(shown) if line.startswith("  Example: "))
    assert shown[at + 1] == ""


def test_the_help_of_run_says_how_the_runs_own_exit_code_differs_from_a_refusal(call):
    shown = re.sub(r"\s+", " ", call("run", "--help").out)

    assert "With --wait or --logs the exit code is the run's" in shown
    assert "a 3 may be the command's own" in shown
    assert "in a document with `state` and `exit_status`" in shown
