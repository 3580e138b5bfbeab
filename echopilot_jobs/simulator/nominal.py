"""When slots ought to be, worked out a second time and differently, for the checker alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.triggers import DailyAt, Every, Trigger, Weekly

SLOTS_MOST = 20_000
DAY = timedelta(days=1)


def seconds_of(moment: datetime) -> float:
    """Epoch seconds."""
    return (moment - EPOCH).total_seconds()


def nominal(trigger: Trigger, after: float, until: float) -> Iterator[int]:
    """Epoch seconds of the slots in (after, until]. Interval slots come in plain arithmetic: ask `every` about ranges."""
    start, end = EPOCH + timedelta(seconds=after), EPOCH + timedelta(seconds=until)
    if isinstance(trigger, DailyAt | Weekly) and end - start < timedelta(days=4000):
        return _of_days(trigger, start, end)
    return (int(seconds_of(due)) for due in takewhile(lambda due: due <= end, trigger.after(start)))


def every(trigger: Every, after: float, until: float) -> range:
    """The slots of an interval rule in (after, until], whole epoch seconds."""
    step, phase = int(trigger.interval.total_seconds()), int(trigger.phase.total_seconds())
    first = (int(after // 1) - phase) // step * step + step + phase
    return range(first, int(until // 1) + 1, step)


def _of_days(trigger: DailyAt | Weekly, start: datetime, end: datetime) -> Iterator[int]:
    zone = ZoneInfo(trigger.zone)
    day = start.astimezone(zone).date() - DAY
    last = end.astimezone(zone).date() + DAY
    while day <= last:
        if _falls_on(trigger, (day - EPOCH.date()).days, day.weekday()):
            due = _shown(datetime.combine(day, trigger.at), trigger.zone)
            if start < due <= end:
                yield int(seconds_of(due))
        day += DAY


def _falls_on(trigger: DailyAt | Weekly, day: int, weekday: int) -> bool:
    return weekday in trigger.days if isinstance(trigger, Weekly) else day % trigger.every_days == 0


@lru_cache(maxsize=4096)
def _shown(wall: datetime, zone: str) -> datetime:
    """The first instant at which a clock in *zone* shows *wall* or later, found by looking second by second where it must."""
    naive, info = wall.replace(tzinfo=UTC), ZoneInfo(zone)
    candidates = {
        naive - (offset or timedelta(0)) for day in (-1, 0, 1) for offset in [_offset(naive + day * DAY, info)]
    }
    exact = [at for at in candidates if at.astimezone(info).replace(tzinfo=None) == wall]
    if exact:
        return min(exact)
    at = min(candidates)
    while at.astimezone(info).replace(tzinfo=None) < wall:
        at += timedelta(seconds=1)
    return at


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()
