"""Slots by brute force: every minute of real time is looked at, and the clock on the wall is read.

Written from the rules alone, with nothing of the package in it, so that the two can be compared.
"""

from __future__ import annotations

import calendar
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

# Zones with odd clocks, and two years in which they show: whole days left out, midnights that never were, half hours,
# changes a minute after midnight, a winter that begins for Ramadan, clocks that jump by two hours.
ZONES = {
    "UTC": 2026,
    "Europe/Riga": 2026,
    "America/New_York": 2026,
    "America/Havana": 2026,
    "America/Nuuk": 2026,
    "America/St_Johns": 2010,
    "Africa/Cairo": 2026,
    "Africa/Casablanca": 2026,
    "Antarctica/Troll": 2026,
    "Asia/Kolkata": 2026,
    "Australia/Lord_Howe": 2026,
    "Pacific/Apia": 2011,
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_ZERO = date(1970, 1, 1)
LEAD = 26 * 60  # minutes read before the first one asked for, to know what the wall has already shown


@dataclass(frozen=True)
class Rule:
    """What a rule says about a calendar day, and whether it names fixed times (or follows real time)."""

    minutes: Callable[[date], frozenset[int]]
    fixed: bool = True

    def table(self, first: int, last: int) -> bytearray:
        """One byte for each wall minute since 1970 in [first, last]: whether the rule names it. Whole days."""
        found = bytearray()
        for day in range(first // 1440, last // 1440 + 1):
            wanted = self.minutes(DAY_ZERO + timedelta(days=day))
            found.extend(minute in wanted for minute in range(1440)) if wanted else found.extend(bytes(1440))
        return found


def daily(at: time, every_days: int = 1) -> Rule:
    wanted = frozenset({at.hour * 60 + at.minute})
    return Rule(lambda day: wanted if (day - DAY_ZERO).days % every_days == 0 else frozenset())


def weekly(days: set[int], at: time) -> Rule:
    wanted = frozenset({at.hour * 60 + at.minute})
    return Rule(lambda day: wanted if day.weekday() in days else frozenset())


def scan(rule: Rule, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """The moments of *rule* in (start, end], both whole minutes."""
    first, last = minute_of(start) - LEAD, minute_of(end)
    offsets = offsets_of(zone, first, last)
    base = (first // 1440 - 2) * 1440
    table = rule.table(base, last + 2880)
    walk = _once if rule.fixed else _as_shown
    return [EPOCH + timedelta(minutes=m) for m in walk(table, base, first, offsets) if m > minute_of(start)]


def _as_shown(table: bytearray, base: int, first: int, offsets: array[int]) -> Iterator[int]:
    """Whenever the wall shows a named minute."""
    return (m for m, offset in enumerate(offsets, first) if table[m + offset - base])


def _once(table: bytearray, base: int, first: int, offsets: array[int]) -> Iterator[int]:
    """When the wall first shows a named minute, or passes over it."""
    seen = first + offsets[0]
    for m, offset in enumerate(offsets, first):
        wall = m + offset
        if wall > seen:
            if any(table[seen + 1 - base : wall + 1 - base]):
                yield m
            seen = wall


def minute_of(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(minutes=1)


@cache
def offsets_of(zone: str, first: int, last: int) -> array[int]:
    """What the wall of *zone* adds to UTC in each minute of [first, last], in minutes; read once an hour if it rests."""
    info = ZoneInfo(zone)

    def read(minute: int) -> int:
        shown = (EPOCH + timedelta(minutes=minute)).astimezone(info).utcoffset()
        assert shown is not None
        return shown // timedelta(minutes=1)

    found = array("h")
    for hour in range(first // 60, last // 60 + 1):
        early, late = max(hour * 60, first), min(hour * 60 + 59, last)
        if read(early) == read(late):
            found.extend([read(early)] * (late - early + 1))
        else:
            found.extend(read(minute) for minute in range(early, late + 1))
    return found


@cache
def jumps_of(zone: str) -> tuple[datetime, ...]:
    """The minutes at which the wall of *zone* jumps in its two years."""
    first = minute_of(two_years_of(zone)[0])
    offsets = offsets_of(zone, first, minute_of(two_years_of(zone)[1]))
    return tuple(EPOCH + timedelta(minutes=first + n) for n, (a, b) in enumerate(pairwise(offsets), 1) if a != b)


def two_years_of(zone: str) -> tuple[datetime, datetime]:
    return datetime(ZONES[zone], 1, 1, tzinfo=UTC), datetime(ZONES[zone] + 2, 1, 1, tzinfo=UTC)


MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}


def cron(expression: str) -> Rule:
    """A cron expression as Debian's cron reads it, with `L`, `LW`, `5L` and `FRI#2` besides."""
    minute, hour, day, month, weekday = expression.upper().split()
    times = frozenset(60 * h + m for h in _numbers(hour, 0, 23) for m in _numbers(minute, 0, 59))
    months = _numbers(month, 1, 12, MONTHS)
    both = day.startswith("*") or weekday.startswith("*")

    def matches(date_: date) -> bool:
        if date_.month not in months:
            return False
        by_day = any(_is_day(term, date_) for term in day.split(","))
        by_weekday = any(_is_weekday(term, date_) for term in weekday.split(","))
        return (by_day and by_weekday) if both else (by_day or by_weekday)

    fixed = not minute.startswith("*") and not hour.startswith("*")
    return Rule(lambda date_: times if matches(date_) else frozenset(), fixed)


def _numbers(field: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        begin, _, end = span.replace("*", f"{low}-{high}").partition("-")
        first = _number(begin, names)
        last = _number(end, names) if end else (high if step else first)
        found.update(range(first, last + 1, int(step or 1)))
    return found


def _number(text: str, names: dict[str, int] | None) -> int:
    return names[text] if names and text in names else int(text)


def _is_day(term: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if term == "L":
        return day.day == last
    if term == "LW":
        working = [n for n in range(1, last + 1) if date(day.year, day.month, n).weekday() < 5]
        return day.day == working[-1]
    return day.day in _numbers(term, 1, 31)


def _is_weekday(term: str, day: date) -> bool:
    number = (day.weekday() + 1) % 7  # cron's Sunday is 0, and 7 too
    if "#" in term:
        name, _, nth = term.partition("#")
        return number in _weekdays(name) and (day.day - 1) // 7 + 1 == int(nth)
    if term.endswith("L"):
        return number in _weekdays(term[:-1]) and (day + timedelta(days=7)).month != day.month
    return number in _weekdays(term)


def _weekdays(term: str) -> set[int]:
    return {number % 7 for number in _numbers(term, 0, 7, WEEKDAYS)}
