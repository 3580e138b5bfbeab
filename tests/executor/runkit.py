"""Runs carried out by a real executor, in a project folder of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.executor import Cancel, Executor, Heard, OwnWeb, process_mark
from echopilot_jobs.jobs import Action, Command, Job, Python
from echopilot_jobs.processes import marked
from echopilot_jobs.runs import Origin, Outcome, Run, State
from echopilot_jobs.slots import Slot
from echopilot_jobs.triggers import Every

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OWNER = "test-owner"
EXECUTOR = Executor(SystemClock(), OWNER, OwnWeb("http://127.0.0.1:1", lambda: "key"))


def job(action: Action, timeout: float = 60, **facts: object) -> Job:
    limit = timedelta(seconds=timeout)
    return Job(name="j", trigger=Every(timedelta(minutes=1)), action=action, timeout=limit, **facts)  # type: ignore[arg-type]


def a_run(**facts: object) -> Run:
    at = NOON + timedelta(minutes=1)
    run = Run(os.getpid(), "j", Origin.SCHEDULE, State.RUNNING, NOON, Slot("j", at), attempt=2, started_at=at)
    return replace(run, **facts)  # type: ignore[arg-type]


def left_behind() -> list[int]:
    return marked("ECHOPILOT_MARK", process_mark(OWNER, a_run()))


@dataclass
class Project:
    """A folder with the user's code and an executor that looks there; all share one fork server, as a scheduler's runs do."""

    home: Path
    cancel: Cancel = field(default_factory=Cancel)
    heard: list[Heard] = field(default_factory=list)

    @property
    def executor(self) -> Executor:
        return replace(EXECUTOR, home=self.home)

    def write(self, body: str, name: str = "work.py") -> None:
        (self.home / name).write_text(dedent(body), encoding="utf-8")

    def python(
        self, body: str, timeout: float = 60, hear: Callable[[Heard], None] | None = None, **facts: object
    ) -> Outcome:
        """What becomes of `run` in *body*."""
        self.write(body)
        return self.carry_out(job(Python("work:run"), timeout, **facts), hear=hear)

    def shell(self, line: str, timeout: float = 60, **facts: object) -> Outcome:
        return self.carry_out(job(Command((line,), shell=True), timeout, **facts))

    def carry_out(self, wanted: Job, run: Run | None = None, hear: Callable[[Heard], None] | None = None) -> Outcome:
        return self.executor.carry_out(wanted, run or a_run(), self.cancel, hear or self.heard.append)

    @property
    def said(self) -> list[tuple[str, str, dict[str, object]]]:
        return [(each.level, each.message, dict(each.fields)) for heard in self.heard for each in heard.said]
