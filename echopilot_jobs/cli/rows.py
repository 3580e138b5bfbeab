"""Runs and jobs as rows and as JSON, the same in every verb that lists them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from echopilot_jobs.cli.out import Column, is_terminal
from echopilot_jobs.clock import iso
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.runs import State
from echopilot_jobs.spans import near, near_stamp, span, stamp, stamped
from echopilot_jobs.triggers import OnRequest, without_schedule

if TYPE_CHECKING:
    from echopilot_jobs.holds import Pause
    from echopilot_jobs.jobs import Job
    from echopilot_jobs.ledger import SqliteReading
    from echopilot_jobs.runs import Run

ERROR_MOST = 160
RUN_COLUMNS = (
    Column("RUN", right=True),
    Column("JOB"),
    Column("STATE"),
    Column("ORIGIN"),
    Column("SLOT", gives_way=True, spare=True),
    Column("WHEN", gives_way=True),
    Column("LATE", right=True),
    Column("TOOK", right=True),
    Column("ERROR", gives_way=True),
)
JOB_COLUMNS = (
    Column("JOB"),
    Column("WHEN", gives_way=True),
    Column("NEXT", gives_way=True),
    Column("LAST", gives_way=True),
)


def run_row(run: Run, now: datetime) -> list[object]:
    """A run under `RUN_COLUMNS`. WHEN is its start or, before that, when it was queued."""
    late = run.lateness
    return [
        run.id,
        run.job_name,
        run.state_words(lambda moment: near(moment, now)),
        run.origin.value,
        _slot(run, now),
        _moment(run.started_at or run.claimed_at, now),
        None if late is None else span(late),
        run.took_words,
        brief_error(run),
    ]


def _slot(run: Run, now: datetime) -> str | None:
    """The moment it is for: one that is caught up or repeated is of another day than WHEN."""
    if run.slot is None:
        return None
    return near(run.slot.due_at, now) if is_terminal() else stamp(run.slot.due_at)


def state_words(run: Run, now: datetime) -> str:
    """A run's state for a person: `waiting to retry at 08:05:00Z (in 3 min)`."""
    return run.state_words(lambda moment: _moment(moment, now))


def brief_error(run: Run) -> str | None:
    """The run's error on one line, shortened; None for none."""
    return brief(run.error_words) if run.error else None


def brief(reason: str) -> str:
    """What went wrong, on one line and shortened."""
    return shorten(plain(reason), ERROR_MOST)


def job_row(
    job: Job, next_at: datetime | None, last: Run | None, now: datetime, pause: Pause | None = None
) -> list[object]:
    """A job under `JOB_COLUMNS`; *pause* is the one that holds now."""
    return [job.name, str(job.trigger), _next_words(job, next_at, now, pause), last_words(last, now)]


def _next_words(job: Job, next_at: datetime | None, now: datetime, pause: Pause | None) -> str:
    if not job.enabled:
        return "disabled"
    if pause is not None:
        return f"paused until {_moment(pause.until, now)}" if pause.until else "paused"
    if next_at is None:
        if not isinstance(job.trigger, OnRequest):
            return "no more"
        return without_schedule(on_startup=job.on_startup)
    return _moment(next_at, now)


def last_words(last: Run | None, now: datetime) -> str | None:
    """How a job's newest run went: `succeeded 2026-03-02 08:00:00Z (5 min ago)`; when it goes on, where it waits to."""
    if last is None:
        return None
    if last.state is State.RETRY_WAIT:
        return state_words(last, now)
    return f"{last.words} {_moment(last.finished_at or last.started_at or last.claimed_at, now)}"


def _moment(moment: datetime, now: datetime) -> str:
    """In full for programs; a person at a terminal knows what day it is."""
    return near_stamp(moment, now) if is_terminal() else stamped(moment, now)


def job_json(job: Job, next_at: datetime | None, last: Run | None, pause: Pause | None = None) -> dict[str, Any]:
    """A job with its next slot, its newest run and the pause that holds now, JSON types only."""
    from echopilot_jobs.accounting.reasons import pause_json

    return {
        **job.definition(),
        "next_at": iso(next_at) if next_at else None,
        "last_run": last.as_dict() if last else None,
        "paused": pause_json(pause) if pause else None,
    }


def pauses_now(ledger: SqliteReading, now: datetime) -> dict[str, Pause]:
    """By job name, the pause that holds now."""
    return {pause.job_name: pause for pause in ledger.pauses(now) if pause.covers(now)}
