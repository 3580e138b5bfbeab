"""The command, called in this process or as a real one, on a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from daykit import live, well
from housekit import JOBS_TOML, Terminal

from echopilot_jobs.builtin import jobs
from echopilot_jobs.cli import main
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.definitions import in_force
from echopilot_jobs.jobs import Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import SKIPPED, Outcome, Output, Run, State
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


def well_without_papers(run: Run) -> Outcome:
    """Every run succeeds; the brief and the report, whose moment may lie in these ten minutes, find nothing to do."""
    if run.job_name in ("ceo_brief", "daily_report"):
        return Outcome(State.CANCELLED, error=f"{SKIPPED}not in this life")
    return well(run)


@pytest.fixture
def lived(settings: Settings) -> Iterator[SqliteLedger]:
    """The ledger of a scheduler that lived for ten minutes, ending just now; its self_heal failed with nasty words."""

    def ending(run: Run) -> Outcome:
        if run.job_name != "self_heal":
            return well_without_papers(run)
        return Outcome(
            State.FAILED, error=NASTY, http_status=503, output=Output(f"first\n{NASTY}\nlast"), duration_ms=1234
        )

    settings.var_dir.mkdir(mode=0o700)
    ledger = SqliteLedger(settings.ledger_path)
    now = SystemClock().now() - timedelta(minutes=2)
    clock = FakeClock(now - timedelta(minutes=10))
    live(ledger, jobs(settings), clock, clock.now(), step=1, stop=None)  # the next one follows at once: no outage
    ledger.request_run("self_heal", clock.now(), actor="test")
    live(ledger, jobs(settings), clock, now, ending=ending)
    yield ledger
    ledger.close()


class House(NamedTuple):
    """A home with jobs of its own; its scheduler lived for ten minutes and ended just now."""

    ledger: SqliteLedger
    registry: Registry
    settings: Settings


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    """The jobs of `housekit.JOBS_TOML` beside the built-in ones."""
    (settings.home / "jobs.toml").write_text(JOBS_TOML)
    settings.var_dir.mkdir(mode=0o700)
    settings.logs_dir.mkdir(exist_ok=True)
    registry = in_force(settings).registry
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        now = SystemClock().now() - timedelta(minutes=2)
        live(ledger, registry, FakeClock(now - timedelta(minutes=10)), now, ending=well_without_papers)
        yield House(ledger, registry, settings)


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Start the command on a terminal; whatever is left at the end is killed."""
    started: list[Terminal] = []

    def starting(*arguments: str, **options: Any) -> Terminal:
        started.append(Terminal(list(arguments), {**environment, **options.pop("env", {})}, **options))
        return started[-1]

    yield starting
    for one in started:
        one.close()


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
