"""Slots that have come due and that nobody has decided about: what should be impossible while a scheduler leads."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from echopilot_jobs.jobs import Job, next_wake
from echopilot_jobs.records import record

if TYPE_CHECKING:
    from echopilot_jobs.ledger import SqliteReading

GRACE = timedelta(seconds=60)  # a pass that a slow disk holds up is no trouble yet


@record(frozen=True)
class Overdue:
    """A job whose slots wait for a planner, and since when the oldest of them does."""

    job_name: str
    since: datetime


def overdue(ledger: SqliteReading, jobs: Iterable[Job], paused: Collection[str], now: datetime) -> list[Overdue]:
    """The jobs that are overdue by more than a minute, the longest first. Disabled, *paused* and new ones owe nothing."""
    through, held = ledger.planned_through(), ledger.generation().held
    waiting = (
        job
        for job in jobs
        if job.enabled
        and job.name in through
        and job.name not in paused
        and (job.trigger.follows_real_time or not held)  # calendar jobs wait for the clock, which is told by itself
    )
    dues = ((job.name, next_wake(job, through[job.name])) for job in waiting)
    found = [Overdue(name, due) for name, due in dues if due is not None and now - due > GRACE]
    return sorted(found, key=lambda each: (each.since, each.job_name))
