"""A scheduler that is killed again and again: each life looks healthy, and only the row of them tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from echopilot_jobs.records import record

if TYPE_CHECKING:
    from echopilot_jobs.ledger import Ledger, SqliteReading

WITHIN = timedelta(hours=1)
LEAST = 2  # one death may be the machine's; a second one within the hour has a cause to be found


@record(frozen=True)
class Dying:
    """How many lives of the scheduler ended without a word within the last hour, and the last beat of the newest."""

    count: int
    last: datetime

    @property
    def remedy(self) -> str:
        """Where to look."""
        return "`supervisorctl tail scheduler` has its last words; see whether memory runs out"

    def words(self, show: Callable[[datetime], str]) -> str:
        """In a line; *show* puts moments."""
        return f"the scheduler died {self.count} times within the last hour, last at {show(self.last)}"


def dying(ledger: Ledger | SqliteReading, now: datetime) -> Dying | None:
    """The deaths of the last hour, if there were two or more. Nobody sees such an end, so it counts from the last beat."""
    since = now - WITHIN
    ends = [
        stint.beat_at
        for stint in ledger.stints_between(since, now)
        if stint.ended_how == "lost" and stint.beat_at >= since
    ]
    return Dying(len(ends), max(ends)) if len(ends) >= LEAST else None
