"""What keeps runs from starting until a person says otherwise: pauses of a job, and backlogs that wait for a word."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from echopilot_jobs.records import record


@record(frozen=True)
class Pause:
    """A stretch in which a job's slots are not run. *until* is None while nobody said when it ends."""

    id: int
    job_name: str
    since: datetime
    until: datetime | None
    actor: str
    note: str = ""

    def covers(self, moment: datetime) -> bool:
        """Whether a slot due at *moment* is paused."""
        return self.since <= moment and (self.until is None or moment < self.until)


HoldAnswer = Literal["latest", "all", "drop"]


@record(frozen=True)
class Hold:
    """A backlog that waits for a person: its runs start when somebody answers, or `latest` of them at *expires_at*.

    *count*: how many of them wait, or waited when it was answered.
    """

    id: int
    decided_at: datetime
    expires_at: datetime
    count: int
    answered_at: datetime | None = None
    answer: HoldAnswer | None = None
    actor: str | None = None
