"""Definitions in the ledger: which ones a job had, and from when on it owed its slots under each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from echopilot_jobs.clock import from_ms
from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.ledger.rows import to_json
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.ledger.stored import definition, foreign, moment
from echopilot_jobs.outages import HOLD_ABOVE
from echopilot_jobs.slots import SkipReason
from echopilot_jobs.stretches import SkippedStretch, stretch_of
from echopilot_jobs.triggers import Trigger, trigger_of

Skip = Callable[[Job, int, SkippedStretch], None]


class JobRow(NamedTuple):
    """What a pass reads of a job, in the order of `jobs_by_names`; not a `Row`, which compares names at every look."""

    id: int
    name: str
    revision: str
    planned_through: int
    is_defined: int
    running: int
    waiting: int
    has_older: int


class Definitions:
    """Written inside the transaction that *sql* is in, at *now* (epoch ms); *skip* writes what was owed and will not run."""

    def __init__(self, sql: Sql, now: int, skip: Skip) -> None:
        self._sql = sql
        self._now = now
        self._skip = skip

    def rows(self, names: Sequence[str]) -> list[JobRow]:
        """Those of the jobs that the ledger knows, in any order."""
        return [JobRow._make(row) for row in self._sql.together("jobs_by_names", names)]

    def define(self, job: Job, row: JobRow | None, generation: int) -> JobRow | None:
        """Have the job's row and its definition: the row if it changed, None if *row* still says it all.

        New times owe nothing for the time before the change.
        """
        if row is not None and row.revision == job.version and row.is_defined:
            return None
        if row is None:
            made = self._sql.one("register_job", name=job.name, revision=job.version, now=self._now)
            self._put(job, made["id"], owed_from=self._now)
        else:
            self._redefine(job, row, generation)
        return self.rows([job.name])[0]

    def retire(self, kept: Collection[str]) -> None:
        """All but those *kept* owe nothing from now on; what they owed by now is skipped, and says so (I2)."""
        for row in self._sql.rows("undefined_that_owe"):
            if row["name"] in kept:  # away for a moment only, and about to be defined again
                continue
            before = definition(self._sql.one("newest_definition", job_id=row["id"])["definition"])
            if "rule" in before:
                gone = Job(name=row["name"], trigger=_rule(before["rule"]), action=Inline("gone"))
                self._supersede(gone, row["id"], row["planned_through"], row["generation"])
            self._sql.do("close_obligation", job_id=row["id"])

    def keep_beat(self, job: Job, step: timedelta) -> None:
        """Have a known interval job owe its slots in the clock generation that a *step* of the clock begins (I18).

        Set back by less than its interval it goes on where it was: no moment comes twice, none is forgotten, and none is
        later than after one interval more. Set back further it owes from now on, or it would be silent for that long.
        """
        row = self._sql.maybe("job_by_name", name=job.name)
        if row is not None:
            ahead = timedelta(milliseconds=row["planned_through"] - self._now)
            goes_on = step < timedelta(0) and ahead < min(job.trigger.period, HOLD_ABOVE)
            self.owe_from(job.name, row["planned_through"] if goes_on else self._now)

    def owe_from(self, job_name: str, ms: int, *, only_if_beyond: bool = False) -> None:
        """Have a known job owe its slots again from *ms* on: the clock went back."""
        row = self._sql.maybe("job_by_name", name=job_name)
        if row is None or (only_if_beyond and row["planned_through"] <= ms):
            return
        job_id = row["id"]
        self._sql.do("close_obligation", job_id=job_id)
        self._sql.do("rewind", job_id=job_id, planned_through=ms)
        newest = self._sql.one("newest_definition", job_id=job_id)
        self._sql.do("open_obligation", job_id=job_id, definition_id=newest["id"], from_at=ms)

    def _redefine(self, job: Job, row: JobRow, generation: int) -> None:
        before = definition(self._sql.one("newest_definition", job_id=row.id)["definition"])
        owes = bool(row.is_defined) or row.id in {each["id"] for each in self._sql.rows("undefined_that_owe")}
        same_times = owes and _same_times(before, job)
        if owes and not same_times and "rule" in before:
            old = replace(job, trigger=_rule(before["rule"]), jitter=timedelta(0))
            self._supersede(old, row.id, row.planned_through, generation)
        owed_from = row.planned_through if same_times else max(self._now, row.planned_through)
        self._sql.do("close_obligation", job_id=row.id)
        self._sql.do("redefine_job", job_id=row.id, revision=job.version, owes_nothing_before=owed_from)
        self._put(job, row.id, owed_from=owed_from)

    def _supersede(self, old: Job, job_id: int, planned_through: int, generation: int) -> None:
        """New times owe nothing for the past; what the *old* ones owed by now is skipped, and says so (I32)."""
        owed = stretch_of(old, moment(planned_through), from_ms(self._now), generation, SkipReason.SUPERSEDED)
        if owed is not None:
            self._skip(old, job_id, owed)
        self._sql.together("advance", [job_id], planned_through=self._now)

    def _put(self, job: Job, job_id: int, owed_from: int) -> None:
        facts = {"revision": job.version, "definition": to_json(job.definition()), "now": self._now}
        kept = self._sql.one("put_definition", job_id=job_id, **facts)
        self._sql.do("open_obligation", job_id=job_id, definition_id=kept["id"], from_at=owed_from)


def _rule(kept: Any) -> Trigger:
    try:
        return trigger_of(kept)
    except ValueError:
        raise foreign("the rule of a job", kept) from None


def _same_times(before: Mapping[str, Any], job: Job) -> bool:
    """Told by the rule: its words may differ between releases, and a release of long ago kept nothing but them."""
    return bool(
        before["rule"] == job.trigger.as_dict() if "rule" in before else before.get("trigger") == str(job.trigger)
    )
