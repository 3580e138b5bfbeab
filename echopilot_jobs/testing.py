"""For tests, ours and users': a clock that obeys, a ledger that forgets, and a job run here and now.

def test_an_empty_table_is_no_reason_to_fail():
    ended = run_now(nightly, params={"day": "2026-03-01"})

    assert ended.state == "succeeded"
    assert ended.result == {"rows": 0}
"""

from __future__ import annotations

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
from echopilot_jobs.executor.speaking import checked, copy_whole
from echopilot_jobs.jobs import Param, values_of
from echopilot_jobs.ledger.sqlite import SqliteLedger
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.runs import Artefact, Slot, State

A_MORNING = datetime(2026, 3, 2, 7, 59, 30, tzinfo=UTC)


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
    it as (done, total, note), *artefacts* the files it kept, under the folder that was given.
    """

    state: State
    result: Any = None
    error: str | None = None
    raised: Exception | None = None
    retry_after: timedelta | None = None
    lines: list[str] = field(default_factory=list)
    progress: list[tuple[float, float | None, str]] = field(default_factory=list)
    artefacts: list[Artefact] = field(default_factory=list)


class _Listener:
    """The voice of a run under test. Keeps the promises of `context.Voice`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.heard = Ended(State.RUNNING)

    def say(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        self.heard.lines.append(line_of(level, message, fields))

    def progress(self, done: float, total: float | None, note: str) -> None:
        self.heard.progress.append((done, total, note))

    def keep(self, path: str, name: str | None) -> Artefact:
        kept = copy_whole(path, self._folder / (name or Path(path).name), self._folder)
        self.heard.artefacts.append(kept)
        return kept


def run_now(
    function: Callable[..., Any],
    *,
    params: Mapping[str, object] | None = None,
    slot_at: datetime | None = None,
    attempt: int = 1,
    now: datetime = A_MORNING,
    folder: Path | None = None,
) -> Ended:
    """Run *function* as a job, in this process and at once, and say how it ended.

    Called and judged as the scheduler does it: the context is there if it takes one, `Skip`, `RetryAfter` and exceptions
    become outcomes, coroutines are awaited, and what it returns must be JSON. Of a function under `@job` the parameters are
    checked and filled with their defaults; another one gets *params* as they are. *slot_at* is the due moment (aware), and
    *now* when it started. Files go to *folder*, by default a new one below the system's folder for temporary files.
    """
    listener = _Listener(Path(tempfile.mkdtemp(prefix="echopilot-run-")) if folder is None else folder)
    name, given = _named(function), _given(function, params or {})
    slot = Slot(name, slot_at) if slot_at else None
    context = RunContext(
        run_id=1,
        job_name=name,
        attempt=attempt,
        started_at=now,
        idempotency_key=slot.key if slot else "run:1",
        slot_at=slot_at,
        params=given,
        deadline=now + timedelta(seconds=600),
        voice=listener,
    )
    return _carried_out(function, context, listener.heard)


def _carried_out(function: Callable[..., Any], context: RunContext, ended: Ended) -> Ended:
    try:
        ended.result = checked(result_of(context.job_name, function, context))
        ended.state = State.SUCCEEDED
    except Skip as wish:
        ended.state, ended.error = State.CANCELLED, f"skipped by the job: {wish.reason}"
    except Exception as error:
        ended.state, ended.error, ended.raised = State.FAILED, f"{type(error).__name__}: {error}", error
        ended.retry_after = wait_of(error.seconds) if isinstance(error, RetryAfter) else None
    return ended


def _table(function: Callable[..., Any]) -> dict[str, Any]:
    run = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    return next((table for table in declaring.declared() if table["run"] == run), {})


def _named(function: Callable[..., Any]) -> str:
    return str(_table(function).get("name") or getattr(function, "__name__", "job"))


def _given(function: Callable[..., Any], params: Mapping[str, object]) -> dict[str, Any]:
    """The parameters as the run has them. Raises `BadParameters`."""
    table = _table(function)
    if not table:
        return dict(params)
    known = {name: _param(facts) for name, facts in table.get("params", {}).items()}
    return values_of(str(table["name"]), known, params)


def _param(facts: Mapping[str, Any]) -> Param:
    return Param(**{**facts, "choices": tuple(facts.get("choices", ()))})
