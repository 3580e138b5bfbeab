"""Slots that came due since anybody planned: nothing of them is lost yet, and nothing is recorded of them either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from echopilot_jobs.accounting.owed import moments_of, rule_of, seconds_of
from echopilot_jobs.clock import iso
from echopilot_jobs.ledger import Ledger
from echopilot_jobs.records import record
from echopilot_jobs.spans import stamp


@record(frozen=True)
class Undecided:
    """How many slots came due later than *accounted_to*, up to which the planner decided about all."""

    accounted_to: datetime
    slots: int

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {"accounted_to": iso(self.accounted_to), "slots": self.slots}

    @property
    def words(self) -> str:
        """A line for a person."""
        came = f"{self.slots:,} slot{'' if self.slots == 1 else 's'} came due"
        them = "it" if self.slots == 1 else "them"
        return (
            f"accounted for up to {stamp(self.accounted_to)}; since then {came} and nobody has decided about {them}: "
            "no scheduler planned"
        )


def undecided(ledger: Ledger, now: datetime, names: Collection[str]) -> Undecided | None:
    """The slots of the jobs of *names* that wait for a planner; None for none. As for `overdue`, paused jobs owe none."""
    counts = _counts(ledger, now, names)
    return Undecided(min(counts), counts.total()) if counts else None


def _counts(ledger: Ledger, now: datetime, names: Collection[str]) -> Counter[datetime]:
    """For each moment up to which jobs are planned, how many of their slots have come due later."""
    found = Counter[datetime]()
    clock_waits = ledger.generation().held
    left_out = {pause.job_name for pause in ledger.pauses(now) if pause.covers(now)}
    defined = set(ledger.job_names()).intersection(names) - left_out
    for name, through in ledger.planned_through().items():
        definitions = ledger.definitions(name) if name in defined else []
        if definitions and (count := _count(definitions[-1][1], through, now, clock_waits=clock_waits)):
            found[through] += count
    return found


def _count(definition: Mapping[str, Any], through: datetime, now: datetime, *, clock_waits: bool) -> int:
    if not definition.get("enabled", True):
        return 0
    try:
        trigger = rule_of(definition)
    except ValueError:
        return 0  # a release that kept no rules wrote it; the audit says so by itself
    if clock_waits and not trigger.follows_real_time:
        return 0
    due_by = now - timedelta(seconds=definition.get("jitter_s", 0.0))
    return len(moments_of(trigger, seconds_of(through) + 1, seconds_of(due_by)))
