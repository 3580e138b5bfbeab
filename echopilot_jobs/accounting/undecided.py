"""Slots that came due since anybody planned: nothing of them is lost yet, and nothing is recorded of them either."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from echopilot_jobs.accounting.owed import SECOND, moment_of, moments_of, rule_of, seconds_of
from echopilot_jobs.accounting.reasons import unplanned_words
from echopilot_jobs.clock import iso
from echopilot_jobs.ledger import Ledger
from echopilot_jobs.records import record
from echopilot_jobs.spans import stamp


@record(frozen=True)
class Undecided:
    """How many slots wait for a planner, of which that of *first* is the oldest: all before it are decided.

    *planned_at*: the last pass of a scheduler, None before there was one.
    """

    first: datetime
    slots: int
    planned_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "accounted_to": iso(self.first - SECOND),
            "first_slot_at": iso(self.first),
            "slots": self.slots,
            "planned_at": iso(self.planned_at) if self.planned_at else None,
        }

    @property
    def words(self) -> str:
        """A line for a person."""
        if self.slots == 1:
            came = f"the slot of {stamp(self.first)} came due and nobody has decided about it"
        else:
            came = f"{self.slots:,} slots came due, from {stamp(self.first)} on, and nobody has decided about them"
        return f"{came}: {unplanned_words(self.planned_at, stamp)}"


def undecided(ledger: Ledger, now: datetime, names: Collection[str]) -> Undecided | None:
    """The slots of the jobs of *names* that wait for a planner; None for none. As for `overdue`, paused jobs owe none."""
    found = [moments for moments in _waiting(ledger, now, names) if moments]
    if not found:
        return None
    return Undecided(moment_of(min(moments[0] for moments in found)), sum(map(len, found)), planned_at(ledger))


def planned_at(ledger: Ledger) -> datetime | None:
    """When a scheduler last planned: where the next one will find that the outage began. None before any has."""
    last = ledger.last_pass()
    return last[0].wall if last else None


def _waiting(ledger: Ledger, now: datetime, names: Collection[str]) -> Iterator[Sequence[int]]:
    """Of each job the slots that have come due later than it is planned."""
    clock_waits = ledger.generation().held
    left_out = {pause.job_name for pause in ledger.pauses(now) if pause.covers(now)}
    defined = set(ledger.job_names()).intersection(names) - left_out
    for name, through in ledger.planned_through().items():
        definitions = ledger.definitions(name) if name in defined else []
        if definitions:
            yield _due(definitions[-1][1], through, now, clock_waits=clock_waits)


def _due(definition: Mapping[str, Any], through: datetime, now: datetime, *, clock_waits: bool) -> Sequence[int]:
    if not definition.get("enabled", True):
        return ()
    try:
        trigger = rule_of(definition)
    except ValueError:
        return ()  # a release that kept no rules wrote it; the audit says so by itself
    if clock_waits and not trigger.follows_real_time:
        return ()
    due_by = now - timedelta(seconds=definition.get("jitter_s", 0.0))
    return moments_of(trigger, seconds_of(through) + 1, seconds_of(due_by))
