"""For tests, ours and users': a clock that obeys, a ledger that forgets, and a job run here and now.

A job, in a test of its own:

    def test_an_empty_table_is_no_reason_to_fail():
        ended = run_now(nightly, params={"day": "2026-03-01"})

        assert ended.state == "succeeded"
        assert ended.result == {"rows": 0}

Code that asks for the time takes a clock, and a test gives it one that stands still until it is told to move:

    clock = FakeClock(datetime(2026, 3, 2, 7, 59, 30, tzinfo=UTC))
    clock.sleep(30)
    assert clock.now().hour == 8

Code that reads what became of runs takes a ledger, and a test gives it an empty one:

    ledger = MemoryLedger()
    assert ledger.runs(limit=10) == []
"""

from __future__ import annotations

import importlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from echopilot_jobs import declaring
from echopilot_jobs.backoff import wait_of
from echopilot_jobs.context import RetryAfter, RunContext, Skip, line_of
from echopilot_jobs.executor.calling import result_of
from echopilot_jobs.executor.speaking import checked, copy_whole, name_to_keep
from echopilot_jobs.jobs import Job, Python, values_of
from echopilot_jobs.jobsfile import Document, compose
from echopilot_jobs.ledger.sqlite import SqliteLedger
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.runs import SKIPPED, Artefact, State
from echopilot_jobs.slots import Slot

A_MORNING = datetime(2026, 3, 2, 7, 59, 30, tzinfo=UTC)
UNSAID_TIMEOUT = timedelta(seconds=600)


class FakeClock:
    """A clock that moves only when told to. Keeps the promises of `clock.Clock`."""

    def __init__(self, now: datetime = A_MORNING) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._suspended = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def boottime(self) -> float:
        return self._monotonic + self._suspended

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass on all clocks."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def suspend(self, seconds: float) -> None:
        """Let *seconds* pass as on a machine that sleeps: the monotonic clock stands still."""
        self._now += timedelta(seconds=seconds)
        self._suspended += seconds

    def step(self, seconds: float) -> None:
        """Move the wall clock alone, as NTP or an operator does."""
        self._now += timedelta(seconds=seconds)


class MemoryLedger(SqliteLedger):
    """The ledger's own code on a database in memory: the same promises, nothing to clean up, gone with the object.

    One connection serves all threads, so a lock keeps their transactions apart.
    """

    def __init__(self) -> None:
        self._one_at_a_time = threading.RLock()
        self._shared: Sql | None = None
        super().__init__(None)

    @property
    def _sql(self) -> Sql:
        if self._shared is None:
            self._shared = self._open()
        return self._shared

    @contextmanager
    def _writing(self) -> Iterator[Sql]:
        with self._one_at_a_time, super()._writing() as sql:
            yield sql

    @contextmanager
    def _reading(self) -> Iterator[Sql]:
        with self._one_at_a_time, super()._reading() as sql:
            yield sql


@dataclass
class Ended:
    """How a job run by `run_now` ended, and what it said meanwhile.

    *error* is the exception's class and text; *raised* the exception itself. *lines* is the log, *progress* every word of
    it as (done, total, note), *artefacts* the files it kept, in *folder*.
    """

    state: State
    result: Any = None
    error: str | None = None
    raised: BaseException | None = None
    retry_after: timedelta | None = None
    lines: list[str] = field(default_factory=list)
    progress: list[tuple[float, float | None, str]] = field(default_factory=list)
    artefacts: list[Artefact] = field(default_factory=list)
    folder: Path | None = None


class _Listener:
    """The voice of a run under test. Keeps the promises of `context.Voice`."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.heard = Ended(State.RUNNING)

    def say(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        self.heard.lines.append(line_of(level, message, fields))

    def progress(self, done: float, total: float | None, note: str) -> None:
        self.heard.progress.append((done, total, note))

    def keep(self, path: str, name: str | None) -> Artefact:
        name = name_to_keep(path, name, {each.name for each in self.heard.artefacts})
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="echopilot-run-"))
        kept = copy_whole(path, self._folder / name, self._folder)
        self.heard.artefacts = [*(each for each in self.heard.artefacts if each.name != name), kept]
        self.heard.folder = self._folder
        return kept


def run_now(
    work: Callable[..., Any] | Job,
    *,
    params: Mapping[str, object] | None = None,
    slot_at: datetime | None = None,
    attempt: int = 1,
    now: datetime = A_MORNING,
    folder: Path | None = None,
) -> Ended:
    """Run *work*, a function or a python `Job`, in this process and at once, and say how it ended.

    Called and judged as the scheduler does it: the context is there if it takes one, `Skip`, `RetryAfter` and exceptions
    become outcomes, coroutines are awaited, and what it returns must be JSON. Of a function under `@job` the declaration is
    judged as in a jobs file, and the parameters are checked and filled with their defaults; another one gets *params* as
    they are. *slot_at* is the due moment (aware), *now* when it started. Files go to *folder*, by default a new one below
    the system's folder for temporary files. What only a process of its own can do is left out: its `env` and `cwd`, and
    the end at its timeout.

    Raises `BadParameters` for parameters and `BadJobsFile` for a declaration that would be refused.
    """
    job, function = _found(work)
    name = job.name if job else getattr(function, "__name__", "job")
    listener = _Listener(folder)
    slot = Slot(name, slot_at) if slot_at else None
    context = RunContext(
        run_id=1,
        job_name=name,
        attempt=attempt,
        started_at=now,
        idempotency_key=slot.key if slot else "run:1",
        slot_at=slot_at,
        params=values_of(name, job.params, params or {}) if job else dict(params or {}),
        deadline=now + (job.timeout if job else UNSAID_TIMEOUT),
        voice=listener,
    )
    return _carried_out(function, context, listener.heard)


def _carried_out(function: Callable[..., Any], context: RunContext, ended: Ended) -> Ended:
    try:
        ended.result = checked(result_of(context.job_name, function, context))
        ended.state = State.SUCCEEDED
    except Skip as wish:
        ended.state, ended.error = State.CANCELLED, f"{SKIPPED}{wish.reason}"
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        ended.state, ended.error, ended.raised = State.FAILED, f"ended without an answer: exit status {code}", leaving
    except Exception as error:
        ended.state, ended.error, ended.raised = State.FAILED, f"{type(error).__name__}: {error}", error
        ended.retry_after = wait_of(error.seconds) if isinstance(error, RetryAfter) else None
    return ended


def _found(work: Callable[..., Any] | Job) -> tuple[Job | None, Callable[..., Any]]:
    """The job, if *work* is or is declared as one, and its function."""
    if not isinstance(work, Job):
        return _declared(work), work
    if not isinstance(work.action, Python):
        raise TypeError(f"job '{work.name}' does '{work.action}'; run_now runs python functions alone")
    module, _, name = work.action.target.partition(":")
    return work, getattr(importlib.import_module(module), name)


def _declared(function: Callable[..., Any]) -> Job | None:
    """The job that `@job` declares on *function*, composed as the scheduler composes it."""
    run = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    table = next((table for table in declaring.declared() if table["run"] == run), None)
    if table is None:
        return None
    name, module, line = (table.pop(key) for key in ("name", "module", "line"))
    document = Document(module, {"jobs": {name: table}}, {("jobs", name): (line, 1)})
    return compose(Document("built-in"), code=[document], environ={}).registry[name]
