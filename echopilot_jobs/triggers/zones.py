"""Time on a wall, and when it was real: the jumps of a zone's clocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
FIRST = datetime(2, 1, 1, tzinfo=UTC)  # a moment before it may have no wall time: the calendar begins with the year 1

Walls = Callable[[datetime], Iterator[datetime]]


def zone_named(name: str) -> ZoneInfo:
    """The IANA zone of that name. Raises `ValueError` for an unknown name, an abbreviation or a path, naming the nearest."""
    try:
        if re.fullmatch(r"[A-Za-z0-9_+/-]{1,80}", name) and not _misleading(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):  # OSError: the name of a folder of zones
        pass
    near = _nearest(name)
    hint = f"; did you mean '{near}'?" if near else " such as 'Europe/Riga'"
    raise ValueError(f"zone '{shorten(plain(name), 80)}'; wanted: 'UTC' or an IANA name{hint}")


def _misleading(name: str) -> bool:
    """Names that mean less than they seem to: `EST` knows no summer, `GMT+2` is west, `right/` counts leap seconds."""
    return name != "UTC" and (
        re.fullmatch(r"[A-Z0-9+-]+|localtime|posixrules|Factory|(posix|right)/.*", name) is not None
    )


@lru_cache(maxsize=1)
def _known() -> dict[str, str]:
    """The zones one may have meant, by their names in lower case."""
    from zoneinfo import available_timezones

    return {zone.lower(): zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/")}


def _nearest(name: str) -> str | None:
    """The zone that *name* nearly names: by the whole of it or, as in `Riga`, by its city alone."""
    from difflib import get_close_matches

    if name.lower() == "utc":
        return "UTC"
    if _misleading(name):  # `EST` is near to many a city, and none of them is meant
        return None
    said, known = name.lower().replace(" ", "_")[:80], _known()
    cities = {each.rpartition("/")[2]: each for each in sorted(known, reverse=True)}
    for places in (known, cities):
        if near := get_close_matches(said, places, n=1, cutoff=0.75):
            return known[cities.get(near[0], near[0])]
    return None


@record(frozen=True)
class Change:
    """A jump of a zone's clocks: the first instant of the new offset, and the offsets before and after it."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def is_gap(self) -> bool:
        """Whether clocks jumped forward, so that some wall times never were; else some were shown twice."""
        return self.after > self.before

    @property
    def walls(self) -> tuple[datetime, datetime]:
        """The wall times, naive, from the first up to but not including the last, that were left out or shown twice."""
        one, other = ((self.at + offset).replace(tzinfo=None) for offset in (self.before, self.after))
        return min(one, other), max(one, other)


def changes(zone: str, after: datetime, until: datetime) -> Iterator[Change]:
    """The jumps of *zone* in (after, until], in order."""
    if zone == "UTC":
        return
    for year in range(after.year, until.year + 1):
        for change in _changes_of_year(zone, year):
            if after < change.at <= until:
                yield change


@lru_cache(maxsize=1024)
def _changes_of_year(zone: str, year: int) -> tuple[Change, ...]:
    """A look a day finds them all: since 1970 no two jumps of one zone lie within six days of each other."""
    found = []
    info = ZoneInfo(zone)
    early = datetime(year, 1, 1, tzinfo=UTC) - SECOND
    offset = _offset(early, info)
    for day in range(1, 367 if year < 9999 else 366):
        late = datetime(year, 1, 1, tzinfo=UTC) + day * DAY - SECOND
        following = _offset(late, info)
        if following != offset:
            found.append(Change(_first_with_other_offset(early, late, info), offset, following))
        early, offset = late, following
    return tuple(change for change in found if change.at.year == year)


def first_change(zone: str, after: datetime, until: datetime) -> Change | None:
    """The first jump of *zone* in (after, until]."""
    return next(changes(zone, after, until), None)


def offsets_of(zone: str) -> set[timedelta]:
    """Every offset the clocks of *zone* have in the years 2020 to 2039."""
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2039, 12, 31, tzinfo=UTC)
    return {offset_at(start, zone), *(change.after for change in changes(zone, start, end))}


def offset_at(moment: datetime, zone: str) -> timedelta:
    """What the clocks of *zone* add to UTC at *moment* (which is in UTC)."""
    return timedelta(0) if zone == "UTC" else _offset(moment, ZoneInfo(zone))


def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first real instant at which a clock on the wall of *zone* shows *wall* or, in a gap, has just passed it.

    In UTC. Of a time shown twice that is its first copy. These are Debian cron's rules for fixed times (F38).
    """
    shown = wall.replace(tzinfo=zone)
    offset, other = _offset(shown, zone), _offset(shown.replace(fold=1), zone)
    if offset >= other:
        return wall.replace(tzinfo=UTC) - offset
    # A gap: read with the offset before it, the wall time lies after the jump, and the other way round.
    moment = wall.replace(tzinfo=UTC)
    return _first_with_other_offset(moment - other, moment - offset, zone)


def fixed_moments(walls: Walls, moment: datetime, zone: str) -> Iterator[datetime]:
    """The instants strictly after *moment* that belong to wall times of *zone*, in order and each once.

    *walls* gives the naive wall times strictly after a naive one, in order.
    """
    last = max(moment.astimezone(UTC), FIRST)
    info = ZoneInfo(zone)
    try:
        start = last.astimezone(info).replace(tzinfo=None, fold=0)
        for wall in walls(start):
            due = first_instant(wall, info)
            if due > last:
                yield due
                last = due
    except OverflowError:  # the year 10000
        return


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    shown = moment if moment.tzinfo is zone else moment.astimezone(zone)
    offset = shown.utcoffset()
    return timedelta(0) if offset is None else offset


def _first_with_other_offset(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """The instant of the jump in (early, late], two UTC moments with different offsets; jumps are on whole seconds."""
    offset = _offset(early, zone)
    low, high = 0, (late - early) // SECOND
    while high - low > 1:
        middle = (low + high) // 2
        same = _offset(early + middle * SECOND, zone) == offset
        low, high = (middle, high) if same else (low, middle)
    return early + high * SECOND
