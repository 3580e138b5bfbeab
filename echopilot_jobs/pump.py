"""The wake-ups, made with `schedule`; this module is that library's only home.

`schedule` gives the vocabulary and the loop's drive (`run_pending`, `idle_seconds`). What it would decide by itself, we
take from it: a wake-up's next moment is the job's next slot, its callable only notes the job's name, and time comes from
our clock. Left alone, version 1.2.2 counts from the end of a job, repeats a raising one on every pass, and forgets what it
missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import schedule

from echopilot_jobs.jobs import Job, next_slot

LOOK_AGAIN = timedelta(minutes=1)


class Pump:
    """Says which jobs came due and how long nothing will."""

    def __init__(self, jobs: Iterable[Job], now: datetime) -> None:
        self._library = schedule.Scheduler()
        self._now = now
        self._due: list[str] = []
        for job in jobs:
            _WakeUp(self, job).do(self._due.append, job.name)

    def due(self, now: datetime) -> list[str]:
        """The names of the jobs with a slot at or before *now* since they were last named, by due time."""
        self._now = now
        self._due.clear()
        self._library.run_pending()
        return list(self._due)

    def idle_seconds(self, now: datetime) -> float:
        """Seconds from *now* to the next wake-up, never negative; infinite without jobs."""
        next_run = self._library.get_next_run()
        if next_run is None:
            return float("inf")
        return max((next_run - _naive(now)).total_seconds(), 0.0)


class _WakeUp(schedule.Job):
    """A `schedule.Job` whose moments are our slots."""

    def __init__(self, pump: Pump, job: Job) -> None:
        super().__init__(1, pump._library)
        self._pump = pump
        self._job = job
        self.unit = "seconds"  # `do` wants one; the slots below replace what it would mean

    @property
    def should_run(self) -> bool:
        return self.next_run is not None and _naive(self._pump._now) >= self.next_run

    def _schedule_next_run(self) -> None:
        try:
            due_at = next_slot(self._job, self._pump._now).due_at
        except (ValueError, ArithmeticError):
            due_at = self._pump._now + LOOK_AGAIN  # the planner meets the same error and says so; neighbours go on
        self.next_run = _naive(due_at)


def _naive(moment: datetime) -> datetime:
    """`schedule` compares naive moments; ours are all UTC, and so are these."""
    return moment.replace(tzinfo=None)
