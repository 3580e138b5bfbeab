"""The four loads of the lateness bench: which jobs, and at which moments each is planned.

A load is made for a start: a whole UTC second. `recurring` jobs come due every second; `one-off` jobs have a single slot,
spread over ten seconds by the product's own jitter, so every timer gets the very moments our jobs are planned at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import kit  # noqa: F401  # puts the project on the path

from echopilot_jobs.jobs import Inline, Job, next_slot, planned_at
from echopilot_jobs.triggers import Every

NOTHING = Inline("nothing")
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Load:
    """*jobs* jobs over *seconds*; recurring every second, or one-off."""

    name: str
    jobs: int
    seconds: int
    recurring: bool
    spread: bool = True

    @property
    def lead_in(self) -> int:
        """Seconds between the process's start and the first moment: for imports and for registering every job."""
        return 4 + self.jobs // 1000

    def make(self, start: int) -> list[Job]:
        """The jobs, for a first moment at *start* (epoch seconds)."""
        if self.recurring:
            return [Job(f"j{n}", Every(timedelta(seconds=1)), NOTHING) for n in range(self.jobs)]
        jitter = timedelta(seconds=1) if self.spread else timedelta(0)
        return [
            Job(f"j{n}", Every(HOUR, timedelta(seconds=(start + n % 10) % 3600)), NOTHING, jitter=jitter)
            for n in range(self.jobs)
        ]

    def moments(self, start: int) -> dict[str, list[float]]:
        """By job, the planned moments in epoch seconds."""
        if self.recurring:
            due = [float(start + n) for n in range(self.seconds)]
            return {f"j{n}": due for n in range(self.jobs)}
        before = datetime.fromtimestamp(start, UTC) - timedelta(seconds=1)
        found = {}
        for job in self.make(start):
            slot = next_slot(job, before)
            assert slot is not None
            found[job.name] = [planned_at(job, slot).timestamp()]
        return found


LOADS = {
    load.name: load
    for load in (
        Load("1 job a second", 1, 60, recurring=True),
        Load("100 a second", 100, 30, recurring=True),
        Load("1,000 over 10 s", 1_000, 10, recurring=False),
        Load("10,000 over 10 s", 10_000, 10, recurring=False),
        Load("10,000 on ten whole seconds", 10_000, 10, recurring=False, spread=False),
    )
}
