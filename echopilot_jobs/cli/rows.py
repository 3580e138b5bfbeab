"""Runs and jobs as rows and as JSON, the same in every verb that lists them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from echopilot_jobs.cli.out import Column, is_terminal
from echopilot_jobs.clock import iso
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.spans import near_stamp, span, stamped

if TYPE_CHECKING:
    from echopilot_jobs.jobs import Job
    from echopilot_jobs.runs import Run

ERROR_MOST = 160
RUN_COLUMNS = (
    Column("RUN", right=True),
    Column("JOB"),
    Column("STATE"),
    Column("ORIGIN"),
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
        run.state.value,
        run.origin.value,
        _moment(run.started_at or run.claimed_at, now),
        None if late is None else span(late),
        None if run.duration_ms is None else span(run.duration_ms / 1000),
        brief_error(run),
    ]


def brief_error(run: Run) -> str | None:
    """The run's error on one line, shortened; None for none."""
    return shorten(plain(run.error), ERROR_MOST) if run.error else None


def job_row(job: Job, next_at: datetime | None, last: Run | None, now: datetime) -> list[object]:
    """A job under `JOB_COLUMNS`."""
    return [job.name, str(job.trigger), _moment(next_at, now) if next_at else "no more", last_words(last, now)]


def last_words(last: Run | None, now: datetime) -> str | None:
    """How a job's newest run went: `succeeded 2026-03-02 08:00:00Z (5 min ago)`."""
    if last is None:
        return None
    return f"{last.state.value} {_moment(last.finished_at or last.started_at or last.claimed_at, now)}"


def _moment(moment: datetime, now: datetime) -> str:
    """In full for programs; a person at a terminal knows what day it is."""
    return near_stamp(moment, now) if is_terminal() else stamped(moment, now)


def job_json(job: Job, next_at: datetime | None, last: Run | None) -> dict[str, Any]:
    """A job with its next slot and its newest run, JSON types only."""
    return {**job.definition(), "next_at": iso(next_at) if next_at else None, "last_run": last.as_dict() if last else None}
