"""Moments and lengths of time as people type them; every refusal says what is wanted."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.triggers import zone_named
from echopilot_jobs.triggers.zones import first_instant

MOMENTS = "'2026-03-01 08:00', '2026-03-01T08:00:00Z', '08:00', 'yesterday 08:00', '2h ago' or 'now'"
LENGTHS = "a length such as '90s', '15m', '2h', '3d' or '1h30m'"
LAST_YEAR = 2999
LONGEST = timedelta(days=3650)
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_MOMENT = re.compile(
    r"(?:(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})|(?P<word>yesterday|today|tomorrow))?"
    r"(?:(?:^|[ T])(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)"
    r" ?(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?)?",
    re.IGNORECASE,
)
_LENGTH = re.compile(r"([0-9]{1,9}) ?(s|min|m|h|d|w)", re.IGNORECASE)

Prefer = Literal["past", "future"]


def moment(text: str, now: datetime, zone: str = "UTC", *, prefer: Prefer = "past") -> datetime:
    """The moment *text* names, in UTC. Raises `ValueError` with one line.

    A moment without a zone of its own is on the wall of *zone*; of a time of day alone it is the newest one up to *now*, or
    the next one after it, as *prefer* says. A wall time that a spring gap leaves out is the first instant after it; of one
    that an autumn fold shows twice it is the first.
    """
    given = text.strip()
    try:
        if given.lower() == "now":
            return now
        if (away := _away(given, prefer)) is not None:
            return now + away
        found = _named(given, now, zone, prefer)
        if not 1970 <= found.year <= LAST_YEAR:
            raise ValueError
        return found
    except (ValueError, OverflowError):
        raise ValueError(f"came '{_shown(text)}'; wanted: a moment such as {MOMENTS}") from None


def length(text: str) -> timedelta:
    """The length of time *text* names, more than zero and at most ten years. Raises `ValueError` with one line."""
    found = _length(text.strip())
    if found is None or not timedelta(0) < found <= LONGEST:
        raise ValueError(f"came '{_shown(text)}'; wanted: {LENGTHS}, more than zero, at most {LONGEST.days} days")
    return found


def _length(text: str) -> timedelta | None:
    pieces = _LENGTH.findall(text)
    if not pieces or _LENGTH.sub("", text).strip():
        return None
    return timedelta(seconds=sum(int(count) * _UNITS[unit.lower()] for count, unit in pieces))


def _away(text: str, prefer: Prefer) -> timedelta | None:
    """`2h ago`, `in 2h`, or `2h` in the direction that is meant."""
    words = text.lower()
    back = words.endswith(" ago")
    found = _length(words.removesuffix(" ago").removeprefix("in "))
    if found is None or found > LONGEST:
        return None
    return -found if back or (prefer == "past" and not words.startswith("in ")) else found


def _named(text: str, now: datetime, zone: str, prefer: Prefer) -> datetime:
    parts = _MOMENT.fullmatch(text)
    if parts is None or not text:
        raise ValueError
    hour, _, rest = (parts["time"] or "00:00").partition(":")
    at = time.fromisoformat(f"{hour:0>2}:{rest}")
    here = _zone(parts["offset"], zone)
    today = now.astimezone(here).date()
    if parts["day"] or parts["word"]:
        day = date.fromisoformat(parts["day"]) if parts["day"] else today + timedelta(days=_DAYS[parts["word"].lower()])
        return _instant(day, at, here)
    found = _instant(today, at, here)
    if prefer == "past" and found > now:
        return _instant(today - timedelta(days=1), at, here)
    if prefer == "future" and found <= now:
        return _instant(today + timedelta(days=1), at, here)
    return found


def _zone(offset: str | None, zone: str) -> tzinfo:
    if offset is None:
        return zone_named(zone)
    if offset.upper() == "Z":
        return UTC
    return datetime.strptime(offset, "%z").tzinfo or UTC


def _instant(day: date, at: time, zone: tzinfo) -> datetime:
    wall = datetime.combine(day, at)
    if isinstance(zone, ZoneInfo):
        return first_instant(wall, zone)
    return wall.replace(tzinfo=zone).astimezone(UTC)


def _shown(text: str) -> str:
    return shorten(plain(text), 80)
