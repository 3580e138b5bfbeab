"""A timetable day by day, and what an edited definition changes in it. From rules alone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from echopilot_jobs.accounting.owed import moment_of, moments_of, rule_of, seconds_from, seconds_of
from echopilot_jobs.accounting.preview import PAUSED_WORDS, note_words, notes_at
from echopilot_jobs.clock import iso
from echopilot_jobs.holds import Pause
from echopilot_jobs.jobs import Job
from echopilot_jobs.records import record
from echopilot_jobs.triggers import Every, OnRequest, Trigger
from echopilot_jobs.triggers.dst import dst_notes
from echopilot_jobs.triggers.zones import SECOND, Change, first_change, first_instant

LISTED_A_DAY = 12
LOOKED_AT_A_DAY = 2_000
COMPARED_MOST = 100_000


@record(frozen=True)
class Line:
    """One moment of a day, or the many of a job that comes more often than twelve times.

    *count* is 0 for a time that does not exist that day, and *at* is then the jump. *open_end*: there are more than counted.
    *paused*: how many of them will pass unrun, as things stand.
    """

    job_name: str
    at: datetime
    last: datetime
    count: int = 1
    note: str = ""
    open_end: bool = False
    paused: int = 0

    @property
    def words(self) -> str:
        """What is to be known of it besides its moment; empty when there is nothing."""
        pause = ""
        if self.paused:
            which = "" if self.paused == self.count else f"{self.paused:,} of them "
            pause = PAUSED_WORDS if self.count == 1 else f"{which}paused, so they will not run"
        return "; ".join(filter(None, (pause, self.note)))

    def as_dict(self, zone: str) -> dict[str, Any]:
        """JSON types only."""
        local = ZoneInfo(zone)
        return {
            "job": self.job_name,
            "at": iso(self.at),
            "local": self.at.astimezone(local).isoformat(),
            "count": self.count,
            "last_at": iso(self.last),
            "more": self.open_end,
            "paused": self.paused,
            "note": self.note or None,
        }


@record(frozen=True)
class Day:
    """One day on the wall of a zone, with the jump its clocks make, if they do."""

    day: date
    lines: tuple[Line, ...]
    jump: Change | None = None


def timetable(jobs: Iterable[Job], now: datetime, days: int, zone: str, pauses: Sequence[Pause] = ()) -> Iterator[Day]:
    """The slots of the enabled *jobs* later than *now*, today and on the days after it: *days* days on the wall of *zone*.

    Slots inside one of the *pauses* of their job pass unrun.
    """
    chosen = [job for job in jobs if job.enabled]
    info = ZoneInfo(zone)
    today = now.astimezone(info).date()
    for number in range(days):
        day = today + timedelta(days=number)
        start, end = (first_instant(datetime.combine(d, time()), info) for d in (day, day + timedelta(days=1)))
        after, last = max(now, start - SECOND), end - SECOND
        lines = [line for job in chosen for line in _lines(job, after, last, pauses)]
        lines.sort(key=lambda line: (line.at, line.job_name))
        yield Day(day, tuple(lines), first_change(zone, start - SECOND, last))


def _lines(job: Job, after: datetime, last: datetime, pauses: Sequence[Pause]) -> Iterator[Line]:
    name, trigger = job.name, job.trigger
    notes = notes_at(trigger, after, last)
    moments, more = _moments_of_a_day(trigger, after, last)
    mine = [pause for pause in pauses if pause.job_name == name]
    if len(moments) > LISTED_A_DAY:
        told = "; ".join(dict.fromkeys(notes.values()))
        paused = sum(_covered(pause, moments) for pause in mine)
        yield Line(name, moment_of(moments[0]), moment_of(moments[-1]), len(moments), told, more, paused)
    else:
        for due in map(moment_of, moments):
            paused = any(pause.covers(due) for pause in mine)
            yield Line(name, due, due, note=notes.get(due, ""), paused=int(paused))
    for note in dst_notes(trigger, after, last):
        if note.effect == "left_out":
            jump = first_instant(note.wall, ZoneInfo(note.zone))
            yield Line(name, jump, jump, 0, note_words(note))


def _covered(pause: Pause, moments: Sequence[int]) -> int:
    """How many of the sorted *moments* lie inside *pause*; those of an interval cost nothing."""
    end = bisect_left(moments, seconds_from(pause.until)) if pause.until else len(moments)
    return max(end - bisect_left(moments, seconds_from(pause.since)), 0)


def _moments_of_a_day(trigger: Trigger, after: datetime, last: datetime) -> tuple[Sequence[int], bool]:
    """The moments in (*after*, *last*] as epoch seconds, and whether there are more: an interval's cost nothing."""
    first, end = seconds_of(after) + 1, seconds_of(last)
    if isinstance(trigger, Every):
        return moments_of(trigger, first, end), False
    found: list[int] = []
    for due in islice(trigger.after(after), LOOKED_AT_A_DAY + 1):
        if due > last:
            return found, False
        found.append(seconds_of(due))
    return found[:LOOKED_AT_A_DAY], len(found) > LOOKED_AT_A_DAY


# -- an edited definition


@record(frozen=True)
class Difference:
    """What a job's moments in (*start*, *end*] were by the definition before and are by the one after.

    A new job has no definition *before*, a removed one none *after*. *notes* says of a moment what a jump of the clock does
    to it; *kept_noted* are those of the unchanged ones that have one.
    """

    job_name: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    start: datetime
    end: datetime
    gone: tuple[datetime, ...]
    new: tuple[datetime, ...]
    unchanged: int
    kept_noted: tuple[datetime, ...]
    notes: Mapping[datetime, str]
    changed_at: datetime | None = None  # when it came into force; None when no scheduler has taken it up

    @property
    def others(self) -> dict[str, tuple[Any, Any]]:
        """What else changed of an edited job, by the field's name: (before, after)."""
        if self.before is None or self.after is None:
            return {}
        told = {"trigger", "rule"}
        fields = [key for key in {**self.before, **self.after} if key not in told]
        pairs = {key: (self.before.get(key), self.after.get(key)) for key in fields}
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "job": self.job_name,
            "before": None if self.before is None else dict(self.before),
            "after": None if self.after is None else dict(self.after),
            "changed_at": iso(self.changed_at) if self.changed_at else None,
            "since": iso(self.start),
            "until": iso(self.end),
            "gone": self._noted(self.gone),
            "new": self._noted(self.new),
            "unchanged": self.unchanged,
            "unchanged_noted": self._noted(self.kept_noted),
        }

    def _noted(self, moments: Iterable[datetime]) -> list[dict[str, str | None]]:
        return [{"at": iso(due), "note": self.notes.get(due)} for due in moments]


def difference(
    job_name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, start: datetime, end: datetime
) -> Difference:
    """Compare two definitions over (*start*, *end*]; over less where there would be too many moments to look at.

    None for the one that is not there. Raises `ValueError` for a definition whose rule was not kept.
    """
    rules = [rule_of(each) if each is not None else OnRequest() for each in (before, after)]
    period = min(rule.period for rule in rules)
    if (end - start) / period > COMPARED_MOST:
        end = start + period * COMPARED_MOST
    was, will = (_of(rule, each or {}, start, end) for rule, each in zip(rules, (before, after), strict=True))
    old, new = (notes_at(rule, start, end) for rule in rules)
    notes = _both(old, new)
    gone, fresh, kept = sorted(was - will), sorted(will - was), was & will
    return Difference(
        job_name,
        before,
        after,
        start,
        end,
        tuple(map(moment_of, gone)),
        tuple(map(moment_of, fresh)),
        len(kept),
        tuple(due for due in sorted(notes) if seconds_of(due) in kept),
        notes,
    )


def _both(old: Mapping[datetime, str], new: Mapping[datetime, str]) -> dict[datetime, str]:
    """What either rule is told of a moment: one that both have may be another time of day in each."""
    words = {due: [each[due] for each in (old, new) if due in each] for due in {**old, **new}}
    return {due: "; ".join(dict.fromkeys(said)) for due, said in words.items()}


def _of(trigger: Trigger, definition: Mapping[str, Any], start: datetime, end: datetime) -> set[int]:
    if not definition.get("enabled", True):
        return set()
    return set(moments_of(trigger, seconds_of(start) + 1, seconds_of(end)))
