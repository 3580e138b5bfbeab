"""The wake-ups, made with `schedule`; this module is that library's only home.

`schedule` gives the vocabulary and the loop's drive: each job is one `schedule.Job` in one `schedule.Scheduler`, and
`run_pending`, `next_run` and `idle_seconds` are what the loop asks. What it would decide by itself, we take from it: a
wake-up's next moment is the job's next planned one (aware, where the library's own are naive local time), its callable
only notes the job's name, and time comes from our clock.
Left alone, version 1.2.2 counts from the end of a job, repeats a raising one on every pass, and forgets what it missed.

The library looks at every job on every pass. A heap of the next moments looks only at those that are due.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from datetime import datetime, timedelta

import schedule

from echopilot_jobs.jobs import Job, next_wake

LOOK_AGAIN = timedelta(minutes=1)


class Pump:
    """Says which jobs came due and how long nothing will. A pass costs what the due jobs cost, however many wait.

    *now* is aware and in UTC throughout. A job without a further moment does not wake again until `reset`.
    """

    def __init__(self, jobs: Iterable[Job], now: datetime) -> None:
        self._library = _Library(now)
        self._due: list[str] = []
        for job in jobs:
            self._add(job)

    def due(self, now: datetime) -> list[str]:
        """The names of the jobs with a planned moment at or before *now* since they were last named, by that moment."""
        self._library.now = now
        self._library.run_pending()
        named = self._due[:]
        self._due.clear()
        return named

    def idle_seconds(self, now: datetime) -> float:
        """Seconds from *now* to the next wake-up, never negative; infinite when there is none."""
        self._library.now = now
        idle = self._library.idle_seconds
        if idle is None:
            return float("inf")
        return idle if idle > 0.0 else 0.0

    @property
    def next_moment(self) -> datetime | None:
        """When something comes due, if ever; it may have passed."""
        return self._library.get_next_run()

    def count_next(self, most: int) -> int:
        """How many jobs come due at the next moment, counted up to *most*."""
        moment = self.next_moment
        return 0 if moment is None else self._library.count_due(moment, most)

    def reset(self, now: datetime) -> None:
        """Compute every wake-up anew from *now*: the wall clock stepped.

        A moment up to *now* that nobody was told of is forgotten here, so the caller plans every job once.
        """
        self._library.now = now
        self._library.reset()

    def replace(self, jobs: Iterable[Job], now: datetime) -> list[str]:
        """From *now* on the jobs are these; the names of the new and the changed ones.

        An unchanged job keeps its wake-up, even one that is due already. A moment up to *now* that a changed job owed by its
        old definition is forgotten here, so the caller plans the named ones once.
        """
        self._library.now = now
        wanted = list(jobs)
        known = {wake_up.job.name: wake_up for wake_up in self._library.jobs}
        fresh = [job for job in wanted if job.name not in known or known[job.name].job != job]
        fresh_names = [job.name for job in fresh]
        self._library.keep({job.name for job in wanted}.difference(fresh_names))
        for job in fresh:
            self._add(job)
        return fresh_names

    def _add(self, job: Job) -> None:
        _WakeUp(self._library, job).do(self._due.append, job.name)


class _Library(schedule.Scheduler):
    """The library's scheduler with a heap beside its list: (next moment, order of making, wake-up).

    An entry counts while its moment is the very one its wake-up holds; one that was moved meanwhile has a newer entry.
    """

    jobs: list[_WakeUp]  # type: ignore[assignment]  # nobody makes other jobs here

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.now = now
        self._heap: list[tuple[datetime, int, _WakeUp]] = []
        self._made = 0

    def number(self) -> int:
        """The next wake-up's place among those of one moment."""
        self._made += 1
        return self._made

    def put(self, wake_up: _WakeUp) -> None:
        """Let *wake_up* wait for its next moment, if it has one."""
        if wake_up.next_run is not None:
            heapq.heappush(self._heap, (wake_up.next_run, wake_up.order, wake_up))

    def run_pending(self) -> None:
        heap, now = self._heap, self.now
        if not heap or heap[0][0] > now:
            return
        due = []
        while heap and heap[0][0] <= now:
            moment, _, wake_up = heapq.heappop(heap)
            if wake_up.next_run is moment:
                due.append(wake_up)
        for wake_up in due:  # all of them were due before the first moves on
            wake_up.run()

    def get_next_run(self, tag: Hashable | None = None) -> datetime | None:
        if tag is not None:
            moments = (wake_up.next_run for wake_up in self.get_jobs(tag))
            return min((moment for moment in moments if moment is not None), default=None)
        heap = self._heap
        while heap and heap[0][2].next_run is not heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    next_run = property(get_next_run)

    def count_due(self, moment: datetime, most: int) -> int:
        """How many wake-ups have a moment up to *moment*, counted up to *most*."""
        found, places, heap = 0, [0], self._heap
        while places and found < most:
            place = places.pop()
            if place < len(heap) and heap[place][0] <= moment:  # nothing below a later entry is earlier
                found += 1
                places += (2 * place + 1, 2 * place + 2)
        return found

    @property
    def idle_seconds(self) -> float | None:
        moment = self.get_next_run()
        return None if moment is None else (moment - self.now).total_seconds()

    def clear(self, tag: Hashable | None = None) -> None:
        super().clear(tag)
        self._rebuild()

    def cancel_job(self, job: schedule.Job) -> None:
        super().cancel_job(job)
        self._rebuild()

    def keep(self, names: set[str]) -> None:
        """Forget every wake-up of a job not among *names*."""
        self.jobs[:] = (wake_up for wake_up in self.jobs if wake_up.job.name in names)
        self._rebuild()

    def reset(self) -> None:
        """Ask every job for its next moment again."""
        self._heap.clear()
        for wake_up in self.jobs:
            wake_up._schedule_next_run()

    def _rebuild(self) -> None:
        self._heap.clear()
        for wake_up in self.jobs:
            self.put(wake_up)


class _WakeUp(schedule.Job):
    """A `schedule.Job` whose moments are our planned ones. It never raises and asks no clock."""

    def __init__(self, library: _Library, job: Job) -> None:
        super().__init__(1, library)
        self.unit = "seconds"  # `do` wants one; the planned moments replace what it would mean
        self.job = job
        self.order = library.number()
        self._library = library

    @property
    def should_run(self) -> bool:
        return self.next_run is not None and self.next_run <= self._library.now

    def run(self) -> None:
        """Note the name and wait for the next moment; the library's own would ask the system what time it is."""
        if self.job_func is not None:
            self.job_func()
        self.last_run = self._library.now
        self._schedule_next_run()

    def _schedule_next_run(self) -> None:
        now = self._library.now
        try:
            self.next_run = next_wake(self.job, now)
        except Exception:  # whatever a trigger raises: the planner meets the same and says so; its neighbours go on
            self.next_run = now + LOOK_AGAIN
        self._library.put(self)
