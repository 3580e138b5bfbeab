"""Completion in real shells, and what it is made of."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from echopilot_jobs.cli.door import COMPLETING, VERBS
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.runs import BAD_ENDS, OPEN_STATES


def completed(call, monkeypatch, *words: str) -> list[str]:
    """What bash would be offered for the last of *words*."""
    monkeypatch.setenv(COMPLETING, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["echopilot", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    answer = call()
    assert answer.err == ""
    return [line.partition(",")[2] for line in answer.out.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_all_that_a_shell_is_told(call, settings, shell):
    answer = call("completion", shell)

    assert answer.code == 0
    assert f"{COMPLETING}={shell}_complete" in answer.out
    assert answer.err == ""  # a shell reads it, perhaps at each of its starts


@pytest.mark.process
def test_who_looks_at_the_script_is_told_how_to_install_it(terminal):
    screen = terminal("completion", "bash")

    assert screen.end() == 0
    assert b"to use it, add to ~/.bashrc:" in screen.seen


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("",), list(VERBS)),
        (("stat",), ["status"]),
        (("run", "ex"), ["export"]),
        (("run", "--", "h"), ["heartbeat"]),
        (("why", "da"), ["daily_report"]),
        (("pause", "heartbeat", "ne"), ["needy"]),
        (("audit", "--job", "res"), ["resting"]),
        (("backfill", "c"), ["ceo_brief"]),
        (("next", "zzz"), []),
        (("run", "export", "-p", ""), ["day=", "copies=", "how="]),
        (("run", "export", "-p", "co"), ["copies="]),
        (("run", "nobody", "-p", ""), []),
        (("run", "--wa"), ["--wait"]),
        (("prune", "--older"), ["--older-than"]),
        (("completion", "f"), ["fish"]),
        (("nonsense", "x"), []),
    ],
)
def test_verbs_jobs_parameters_and_options_are_offered(call, house, monkeypatch, words, offered):
    assert sorted(completed(call, monkeypatch, *words)) == sorted(offered)


@pytest.mark.parametrize(
    ("verb", "states"), [("show", None), ("logs", None), ("cancel", OPEN_STATES), ("retry", BAD_ENDS)]
)
def test_the_numbers_of_runs_are_offered_where_they_make_sense(call, lived, monkeypatch, verb, states):
    lived.request_run("ceo_brief", SystemClock().now())
    expected = [str(run.id) for run in lived.runs(states=states)]
    begun = expected[0][:1]

    offered = completed(call, monkeypatch, verb, begun)

    assert offered == [number for number in expected if number.startswith(begun)] != []


def test_logs_offers_programs_and_jobs_and_a_home_without_a_ledger_offers_no_runs(call, house, settings, monkeypatch):
    named = completed(call, monkeypatch, "logs", "s")
    settings.ledger_path.rename(settings.ledger_path.with_name("elsewhere"))
    gone = completed(call, monkeypatch, "show", "1")

    assert sorted(named) == ["scheduler", "self_heal", "supervisord"]
    assert gone == []


def test_a_jobs_file_that_is_not_in_force_is_no_matter_for_who_types(call, house, monkeypatch):
    (house.settings.home / "jobs.toml").write_text("[jobs.export\n")

    assert "heartbeat" in completed(call, monkeypatch, "run", "")


def test_settings_that_cannot_be_used_are_no_matter_for_who_types(call, house, monkeypatch):
    monkeypatch.setenv("PORT", "abc")

    assert completed(call, monkeypatch, "run", "") == []
    assert completed(call, monkeypatch, "stat") == ["status"]


@pytest.mark.process
def test_bash_itself_completes_a_job(house, environment, tmp_path):
    """The script is sourced by a real bash and asked as readline asks it."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    program = bin_dir / "echopilot"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m echopilot_jobs "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(echopilot completion bash 2>/dev/null)"\n'
        "COMP_WORDS=(echopilot run exp) COMP_CWORD=2\n"
        '_echopilot_completion echopilot exp run; echo "${COMPREPLY[@]}"; complete -p echopilot'
    )

    done = subprocess.run(
        [shutil.which("bash") or "bash", "-c", script],
        env={**environment, "PATH": f"{bin_dir}:{environment['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "export"
    assert "_echopilot_completion echopilot" in done.stdout
