"""Rules that name times on a wall clock: once a day, or on days of the week."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from echopilot_jobs.records import record
from echopilot_jobs.triggers.zones import fixed_moments, zone_named

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY_ZERO = date(1970, 1, 1)


@record(frozen=True)
class DailyAt:
    """Once a day, or every so many days, at a local time of *zone*.

    Days are counted from 1970-01-01 in the zone's own calendar, so a rule of several days keeps its beat across restarts.
    A time inside a spring gap falls on the first instant after it; of a time that an autumn fold shows twice, the first
    copy counts (F38). These are Debian cron's rules for fixed times.
    """

    at: time
    zone: str = "UTC"
    every_days: int = 1

    def __post_init__(self) -> None:
        _check_time(self.at)
        zone_named(self.zone)
        if not 1 <= self.every_days <= 36_500:
            raise ValueError(f"every '{self.every_days}' days; wanted: from 1 to 36500")

    @property
    def period(self) -> timedelta:
        return timedelta(days=self.every_days)

    @property
    def follows_real_time(self) -> bool:
        return False

    def after(self, moment: datetime) -> Iterator[datetime]:
        return fixed_moments(self.walls, moment, self.zone)

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The wall times, naive, strictly after a naive one."""
        step = timedelta(days=self.every_days)
        wall = datetime.combine(after.date(), self.at)
        wall += timedelta(days=-(wall.date() - DAY_ZERO).days % self.every_days)
        if wall <= after:
            wall += step
        while True:
            yield wall
            wall += step

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "daily", "at": clock_text(self.at), "zone": self.zone, "every_days": self.every_days}

    def __str__(self) -> str:
        how_often = "daily" if self.every_days == 1 else f"every {self.every_days} days"
        return f"{how_often} at {clock_text(self.at)} {self.zone}"


@record(frozen=True)
class Weekly:
    """On *days* of the week (Monday is 0) at a local time of *zone*; gaps and folds as for `DailyAt` (F38)."""

    days: tuple[int, ...]
    at: time
    zone: str = "UTC"

    def __init__(self, days: Iterable[int], at: time, zone: str = "UTC") -> None:
        object.__setattr__(self, "days", tuple(sorted(set(days))))
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "zone", zone)
        if not self.days or not set(self.days) <= set(range(7)):
            raise ValueError(f"days {list(self.days)}; wanted: at least one, from 0 (monday) to 6 (sunday)")
        _check_time(at)
        zone_named(zone)

    @property
    def period(self) -> timedelta:
        """The shortest distance between two of its days."""
        following = [*self.days[1:], self.days[0] + 7]
        return timedelta(days=min(late - early for early, late in zip(self.days, following, strict=True)))

    @property
    def follows_real_time(self) -> bool:
        return False

    def after(self, moment: datetime) -> Iterator[datetime]:
        return fixed_moments(self.walls, moment, self.zone)

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The wall times, naive, strictly after a naive one."""
        wall = datetime.combine(after.date(), self.at)
        while True:
            if wall.weekday() in self.days and wall > after:
                yield wall
            wall += timedelta(days=1)

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "weekly", "days": list(self.days), "at": clock_text(self.at), "zone": self.zone}

    def __str__(self) -> str:
        names = {(0, 1, 2, 3, 4): "weekdays", (5, 6): "weekends", tuple(range(7)): "daily"}
        days = names.get(self.days) or ", ".join(f"{WEEKDAYS[day]}s" for day in self.days)
        return f"{days} at {clock_text(self.at)} {self.zone}"


def clock_text(at: time) -> str:
    """The time of day as `08:00`, with seconds when it has some."""
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"


def _check_time(at: time) -> None:
    if at.microsecond or at.tzinfo is not None or at.fold:
        raise ValueError(f"time '{at!r}'; wanted: whole seconds, without a zone or a fold of its own")
