"""Moments from arguments alone: rules that yield when a job is due, with no clock and no memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from echopilot_jobs.clock import EPOCH


class Trigger(Protocol):
    """A rule that yields moments."""

    @property
    def period(self) -> timedelta:
        """The usual distance between two moments."""
        ...

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The due moments strictly later than *moment*, in order, without end; aware and in UTC."""
        ...

    def __str__(self) -> str:
        """The rule in a person's words."""
        ...


@dataclass(frozen=True)
class Every:
    """Every *interval* since the UTC epoch plus *phase*: it never drifts and keeps its phase across restarts (I16)."""

    interval: timedelta
    phase: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if self.interval < timedelta(seconds=1) or self.interval % timedelta(seconds=1):
            raise ValueError(f"interval '{self.interval}'; wanted: whole seconds, at least 1 s")

    @property
    def period(self) -> timedelta:
        return self.interval

    def after(self, moment: datetime) -> Iterator[datetime]:
        count = (moment - EPOCH - self.phase) // self.interval
        while True:
            count += 1
            yield EPOCH + self.phase + count * self.interval

    def __str__(self) -> str:
        seconds = int(self.interval.total_seconds())
        for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
            if seconds % size == 0:
                return f"every {seconds // size} {unit}"
        return f"every {seconds} s"


@dataclass(frozen=True)
class DailyAt:
    """Once a day at a local time of *zone*.

    A time inside a spring gap falls on the first instant after it; of a time that an autumn fold shows twice, the first
    copy counts (F38). These are Debian cron's rules for fixed times.
    """

    at: time
    zone: str = "UTC"

    @property
    def period(self) -> timedelta:
        return timedelta(days=1)

    def after(self, moment: datetime) -> Iterator[datetime]:
        zone = ZoneInfo(self.zone)
        day = moment.astimezone(zone).date() - timedelta(days=1)
        last = moment
        while True:
            due = _first_instant(datetime.combine(day, self.at), zone)
            if due > last:
                yield due
                last = due
            day += timedelta(days=1)

    def __str__(self) -> str:
        return f"daily at {self.at:%H:%M} {self.zone}"


def _first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first real instant at which a clock on the wall of *zone* shows *wall* or, in a gap, has just passed it."""
    early, late = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early <= late:
        return early
    return _end_of_gap(late, early, zone)


def _end_of_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The instant of the jump between two moments with different offsets, to the second (offsets change on whole ones)."""
    offset = before.astimezone(zone).utcoffset()
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        same = (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == offset
        low, high = (middle, high) if same else (low, middle)
    return before + timedelta(seconds=high)
