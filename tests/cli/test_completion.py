"""Completion in real shells, and what it is made of."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from echopilot_jobs.cli.door import COMPLETING, VERBS


def completed(call, monkeypatch, *words: str) -> list[str]:
    """What bash would be offered for the last of *words*."""
    monkeypatch.setenv(COMPLETING, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["echopilot", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    answer = call()
    assert answer.err == ""
    return [line.partition(",")[2] for line in answer.out.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_data_and_how_to_install_it_is_talk(call, settings, shell):
    answer = call("completion", shell)

    assert answer.code == 0
    assert f"{COMPLETING}={shell}_complete" in answer.out
    assert answer.err.startswith("to use it, ")
    assert f"echopilot completion {shell}" in answer.err
    assert answer.err.count("\n") == 1


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
