"""The command, called in this process or as a real one, on a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from daykit import live, well

from echopilot_jobs.builtin import jobs
from echopilot_jobs.cli import main
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import Outcome, Output, Run, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock

ROOT = Path(__file__).resolve().parent.parent.parent
NASTY = "red \x1b[31m\x9b5m\x1b]52;c;aGk=\x07 over\u202eturned\u2028line\x00"


class Answer(NamedTuple):
    """What a command line came to."""

    code: int
    out: str
    err: str


Call = Callable[..., Answer]


@pytest.fixture
def call(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Call:
    """One command line in this process."""

    def calling(*arguments: str) -> Answer:
        capsys.readouterr()
        code = main(list(arguments))
        return Answer(code, *capsys.readouterr())

    return calling


@pytest.fixture
def lived(settings: Settings) -> Iterator[SqliteLedger]:
    """The ledger of a scheduler that lived for ten minutes, ending just now; its self_heal failed with nasty words."""

    def ending(run: Run) -> Outcome:
        if run.job_name != "self_heal":
            return well(run)
        return Outcome(
            State.FAILED, error=NASTY, http_status=503, output=Output(f"first\n{NASTY}\nlast"), duration_ms=1234
        )

    settings.var_dir.mkdir(mode=0o700)
    ledger = SqliteLedger(settings.ledger_path)
    now = SystemClock().now() - timedelta(minutes=2)
    clock = FakeClock(now - timedelta(minutes=10))
    live(ledger, jobs(settings), clock, clock.now(), stop=None)
    ledger.request_run("self_heal", clock.now(), actor="test")
    live(ledger, jobs(settings), clock, now, ending=ending)
    yield ledger
    ledger.close()


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """For real processes."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    return {**kept, "ECHOPILOT_HOME": str(settings.home), "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


@pytest.fixture
def spawn(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the command as a real process; whatever is left at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def spawning(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, **options}
        started.append(subprocess.Popen([sys.executable, "-m", "echopilot_jobs", *arguments], **options))
        return started[-1]

    yield spawning
    for process in started:
        process.kill()
        process.wait()
        for stream in filter(None, (process.stdout, process.stderr)):
            stream.close()
