"""Jobs that never get done: every run of theirs is ended by their own next slot, and nothing fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING

from echopilot_jobs.jobs import Job
from echopilot_jobs.records import record
from echopilot_jobs.runs import ENDS

if TYPE_CHECKING:
    from echopilot_jobs.ledger import Ledger, SqliteReading

IN_A_ROW = 5  # one that was held up now and then is what the rule is for
LOOK_BACK = 50


@record(frozen=True)
class CutOff:
    """A job whose newest *count* runs were all ended by their next slot, since the moment the oldest of them was."""

    job_name: str
    count: int
    since: datetime | None

    @property
    def words(self) -> str:
        """For a person."""
        many = f"{self.count}{'+' if self.count == LOOK_BACK else ''}"
        return f"'{self.job_name}' never gets done: its last {many} runs were each ended by the next slot"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return "give it more time between its slots, or another `overlap`"


def cut_off(ledger: Ledger | SqliteReading, jobs: Iterable[Job]) -> list[CutOff]:
    """Those among *jobs* whose last five runs or more were cut off so. Raises `LedgerUnavailable`."""
    found = []
    for job in jobs:
        if job.overlap == "cancel_previous" and job.enabled:
            row = _row(ledger, job.name)
            if len(row) >= IN_A_ROW:
                found.append(CutOff(job.name, len(row), row[-1]))
    return found


def _row(ledger: Ledger | SqliteReading, name: str) -> Sequence[datetime | None]:
    """When the newest ended runs were cut off, back to the first that was not."""
    ended = ledger.runs(job_name=name, states=ENDS, limit=LOOK_BACK)
    return [run.finished_at for run in takewhile(lambda run: run.was_cut_off, ended)]
