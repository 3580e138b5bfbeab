"""Durations and moments in a person's words: `2 h 5 min`, `in 40 s`, `2026-03-02 08:00:00Z`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def span(length: timedelta | float) -> str:
    """A length of time (seconds when it is a number) in its two largest units; below ten seconds with one digit more."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return _two_units(round(seconds))


def _two_units(seconds: int) -> str:
    for (unit, size), (smaller, part) in zip(_UNITS, (*_UNITS[1:], ("", 1)), strict=True):
        if seconds >= size:
            count, rest = divmod(seconds, size)
            parts = rest // part if smaller else 0
            return f"{count:,} {unit} {parts} {smaller}" if parts else f"{count:,} {unit}"
    return "0 s"


def relative(moment: datetime, now: datetime) -> str:
    """Where *moment* lies as seen from *now*: `in 3 min`, `now`, `2 h 5 min ago`."""
    seconds = round((moment - now).total_seconds())
    if seconds == 0:
        return "now"
    return f"in {_two_units(seconds)}" if seconds > 0 else f"{_two_units(-seconds)} ago"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago something happened: `2 h 5 min ago`, `just now`, also when *now* was read a little earlier."""
    return relative(moment, now) if now - moment >= timedelta(seconds=1) else "just now"


def stamp(moment: datetime) -> str:
    """The moment in UTC to the second: `2026-03-02 08:00:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def day_clock(moment: datetime) -> str:
    """The moment in UTC to the minute, as it is said: `27 Nov 2026 08:00 UTC`."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b} {utc.year} {utc:%H:%M} UTC"


def day_clock_to_the_second(moment: datetime) -> str:
    """The moment in UTC as it is said where a minute is too coarse: `27 Nov 2026 08:00:07 UTC`."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b} {utc.year} {utc:%H:%M:%S} UTC"


def until_words(end: datetime | None, show: Callable[[datetime], str] = stamp) -> str:
    """How long a pause lasts: `until 2026-03-02 08:00:00Z`, or until somebody says a word."""
    return f"until {show(end)}" if end else "until somebody resumes it"


def near_stamp(moment: datetime, now: datetime) -> str:
    """The moment and where it lies from *now*, its date left out when it is today's: `08:00:00Z (in 3 min)`."""
    return f"{near(moment, now)} ({relative(moment, now)})"


def near(moment: datetime, now: datetime) -> str:
    """The moment in UTC, its date left out when it is today's: `08:00:00Z`."""
    full = stamp(moment)
    return full[11:] if full[:10] == stamp(now)[:10] else full


def stamped(moment: datetime | None, now: datetime) -> str:
    """The moment and where it lies from *now*: `2026-03-02 08:00:00Z (in 3 min)`; a dash for none."""
    return f"{stamp(moment)} ({relative(moment, now)})" if moment else "-"
