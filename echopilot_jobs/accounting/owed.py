"""The slots a job owed, worked out anew from the definitions the ledger keeps.

Moments are whole seconds since the UTC epoch here: sorted numbers are compared a million at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.ledger import Ledger, Obligation
from echopilot_jobs.records import record
from echopilot_jobs.triggers import Every, Trigger, Until, trigger_of

SECOND = timedelta(seconds=1)
ANY = None  # the key of calendar rules: their moments are owed once, in whatever clock generation that was


@record(frozen=True)
class Stretch:
    """The moments of *trigger* in [first, last] were owed."""

    first: int
    last: int
    trigger: Trigger
    definition: Mapping[str, Any]


@record(frozen=True)
class Unknown:
    """From *first* to *last* a definition was in force whose rule was not kept, or cannot be read; *why* says so."""

    first: int
    last: int
    why: str


class Strand:
    """What is owed under one key: a clock generation, or `ANY` for calendar rules. Its stretches may overlap."""

    def __init__(self, key: int | None, stretches: Sequence[Stretch]) -> None:
        self.key = key
        self.stretches = tuple(stretches)

    def moments(self, first: int, last: int) -> Sequence[int]:
        """The owed moments in [first, last], sorted, each once."""
        parts = self._parts(first, last)
        if len(parts) < 2:
            return parts[0] if parts else ()
        return sorted(set().union(*parts))

    def count(self, first: int, last: int) -> int:
        """How many moments are owed in [first, last]; interval rules are counted by arithmetic."""
        parts = self._parts(first, last)
        if any(early[-1] >= late[0] for early, late in pairwise(parts)):
            return len(set().union(*parts))
        return sum(map(len, parts))

    def has(self, moment: int) -> bool:
        """Whether *moment* is owed."""
        return self.count(moment, moment) > 0

    def at(self, moment: int) -> Stretch | None:
        """The newest stretch in which *moment* is owed."""
        found = (part for part in reversed(self.stretches) if part.first <= moment <= part.last)
        return next((part for part in found if moments_of(part.trigger, moment, moment)), None)

    def _parts(self, first: int, last: int) -> list[Sequence[int]]:
        cut = ((max(part.first, first), min(part.last, last), part.trigger) for part in self.stretches)
        return [found for low, high, trigger in cut if low <= high and (found := moments_of(trigger, low, high))]


@record(frozen=True)
class Owed:
    """Everything one job owed, and the stretches nobody can say that of."""

    strands: tuple[Strand, ...]
    unknown: tuple[Unknown, ...]
    obligations: tuple[Obligation, ...]

    @property
    def first(self) -> int | None:
        """The first second in which anything could be owed; None when nothing ever was."""
        return min((seconds_of(each.after) + 1 for each in self.obligations), default=None)

    @property
    def last(self) -> int | None:
        """The last second up to which slots are planned."""
        return max((seconds_of(each.until) for each in self.obligations), default=None)

    @property
    def period(self) -> timedelta:
        """The shortest usual distance between two moments of any of its rules."""
        periods = [part.trigger.period for strand in self.strands for part in strand.stretches]
        return min(periods, default=timedelta(days=36_500))

    @property
    def newest(self) -> Trigger | None:
        """The rule of the newest definition; None where there is none or it was not kept."""
        with contextlib.suppress(ValueError, IndexError):
            return rule_of(self.obligations[-1].definition)
        return None

    @property
    def is_calendar(self) -> bool:
        """Whether the newest rule follows the wall clock, and so waits while that is not trusted."""
        return self.newest is not None and not self.newest.follows_real_time

    @property
    def jitter(self) -> timedelta:
        """How much later than its moment the newest definition lets a slot be planned."""
        return timedelta(seconds=self.obligations[-1].definition.get("jitter_s", 0.0) if self.obligations else 0.0)

    def moments(self, first: int, last: int) -> set[int]:
        """The moments owed in [first, last], in whatever clock generation."""
        return {moment for strand in self.strands for moment in strand.moments(first, last)}

    def pending(self, until: int) -> Sequence[int]:
        """The moments up to *until* that the newest rule has after the last planned one: nobody has decided of them yet."""
        if self.newest is None or self.last is None:
            return ()
        return moments_of(self.newest, self.last + 1, until)

    def owes(self, moment: int, generation: int | None = None) -> bool:
        """Whether *moment* was owed, in *generation* if one is given."""
        return any(
            strand.has(moment) for strand in self.strands if generation is None or strand.key in (ANY, generation)
        )

    def in_unknown(self, moment: int) -> Unknown | None:
        """The unreadable stretch that *moment* falls into."""
        return next((part for part in self.unknown if part.first <= moment <= part.last), None)

    def covers(self, moment: int) -> bool:
        """Whether any definition was in force at *moment*."""
        return any(seconds_of(each.after) < moment <= seconds_of(each.until) for each in self.obligations)

    def triggers(self) -> list[Trigger]:
        """Every rule the job ever had, the newest first."""
        return [part.trigger for strand in self.strands for part in reversed(strand.stretches)]


def owed_by(ledger: Ledger, job_name: str) -> Owed:
    """What *job_name* owed from its registration up to where it is planned."""
    obligations = tuple(ledger.obligations(job_name))
    unknown: list[Unknown] = []
    strands: dict[int | None, list[Stretch]] = {}
    for each in obligations:
        first, last = seconds_of(each.after) + 1, seconds_of(each.until)
        try:
            trigger = rule_of(each.definition)
        except ValueError as error:
            unknown.append(Unknown(first, last, str(error)))
            continue
        key = each.generation if trigger.follows_real_time else ANY
        strands.setdefault(key, []).append(Stretch(first, last, trigger, each.definition))
    return Owed(tuple(Strand(key, found) for key, found in strands.items()), tuple(unknown), obligations)


def rule_of(definition: Mapping[str, Any]) -> Trigger:
    """The trigger of a stored definition. Raises `ValueError` for one that was kept before rules were."""
    if "rule" not in definition:
        raise ValueError(f"the definition '{definition.get('trigger', 'unknown')}' was kept without its rule")
    return trigger_of(definition["rule"])


def moments_of(trigger: Trigger, first: int, last: int) -> Sequence[int]:
    """The moments of *trigger* in [first, last], sorted; those of an interval cost nothing until they are looked at."""
    if isinstance(trigger, Until):
        return moments_of(trigger.trigger, first, min(last, seconds_of(trigger.moment)))
    if isinstance(trigger, Every):
        interval, phase = trigger.interval // SECOND, trigger.phase // SECOND
        return range(first + (phase - first) % interval, last + 1, interval)
    return list(_walked(trigger, first, last))


def _walked(trigger: Trigger, first: int, last: int) -> Iterator[int]:
    if first > last:
        return iter(())
    dues = trigger.after(moment_of(first - 1))
    return takewhile(lambda due: due <= last, (seconds_of(due) for due in dues))


def seconds_of(moment: datetime) -> int:
    """Whole seconds since the epoch, rounded down."""
    return (moment - EPOCH) // SECOND


def seconds_from(moment: datetime) -> int:
    """Whole seconds since the epoch, rounded up: the first that is not before *moment*."""
    return -(-(moment - EPOCH) // SECOND)


def moment_of(seconds: int) -> datetime:
    """The UTC moment of whole seconds since the epoch."""
    return EPOCH + timedelta(seconds=seconds)
