"""The words a schedule is written in, and the rule they come to. Their meaning is that of `fluent`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from echopilot_jobs.jobs.params import shown
from echopilot_jobs.jobsfile.words import Wrong, came, is_length, parsed_length, unit_hint, wrong
from echopilot_jobs.records import record
from echopilot_jobs.triggers import DailyAt, Every, EveryBetween, Trigger, Weekly, zone_named
from echopilot_jobs.triggers.calendar import WEEKDAYS
from echopilot_jobs.triggers.zones import first_instant
from echopilot_jobs.typed import LONGEST

EVERY_WANTED = (
    "a length such as '6h' or '90s', a range '5m to 10m', 'day', '2 days', 'weekday', 'weekend' or 'monday, friday'"
)
AT_WANTED = "a time of day from '00:00' to '23:59', in quotes, seconds allowed: '08:00' or '08:00:30'"
UNTIL_WANTED = (
    "a date or a moment such as '2026-12-31', '2026-12-31 18:00' or '2026-12-31T18:00:00Z', from 1970 to 2999"
)
_GROUPS = {
    "weekday": (0, 1, 2, 3, 4),
    "weekdays": (0, 1, 2, 3, 4),
    "weekend": (5, 6),
    "weekends": (5, 6),
    **{day: (number,) for number, day in enumerate(WEEKDAYS)},
    **{f"{day}s": (number,) for number, day in enumerate(WEEKDAYS)},
    **{day[:3]: (number,) for number, day in enumerate(WEEKDAYS)},
}
_SINGLE = {"second": 1, "minute": 60, "hour": 3_600}
_DAYS = re.compile(r"(?:([0-9]{1,6}) ?)?(?:days?|(?<=[0-9 ])d)")
_INSTEAD = {
    "week": "name a day of it, every = 'monday', or say every = '7 days', counted from 1970-01-01",
    "month": "use cron = '0 8 1 * *' for the first of the month at 08:00",
    "quarter": "use cron = '0 8 1 1,4,7,10 *'",
    "year": "use cron = '0 8 1 1 *' for the first of January at 08:00",
}


@record(frozen=True)
class Interval:
    """`6h`: time as it passes."""

    length: timedelta


@record(frozen=True)
class Between:
    """`5m to 10m`: irregular distances."""

    low: timedelta
    high: timedelta


@record(frozen=True)
class Days:
    """`day`, `2 days`: on the calendar, at a time."""

    count: int


@record(frozen=True)
class Weekdays:
    """`monday`, `weekday`: days of the week, at a time."""

    days: tuple[int, ...]


Rhythm = Interval | Between | Days | Weekdays


def every(value: object) -> Rhythm:
    """What `every` says."""
    if isinstance(value, list):
        return _days_of_week(value, value)
    if not isinstance(value, str) or len(value) > 200:
        raise wrong(value, f"{EVERY_WANTED}{unit_hint(value)}")
    said = " ".join(value.lower().split())
    if found := _DAYS.fullmatch(said):
        return _days(value, int(found[1] or 1))
    if said in _SINGLE:
        return Interval(timedelta(seconds=_SINGLE[said]))
    if " to " in said:
        return _between(value, *said.split(" to ", 1))
    if (length := parsed_length(said)) is not None and not said.endswith("w"):
        return Interval(length)
    if said.split(",")[0].strip() in _GROUPS:
        return _days_of_week(said.split(","), value)
    raise _not_every(value, said)


def _days(value: object, count: int) -> Days:
    if not 1 <= count <= 3650:
        raise wrong(value, "from 1 to 3650 days")
    return Days(count)


def _between(value: object, low: str, high: str) -> Rhythm:
    shorter, longer = parsed_length(low), parsed_length(high)
    if shorter is None or longer is None:
        raise wrong(value, f"two lengths with their units, such as '5m to 10m', each at most {LONGEST.days} days")
    if longer < shorter:
        raise wrong(value, f"the shorter length first, '{high} to {low}'")
    return Interval(shorter) if shorter == longer else Between(shorter, longer)


def _days_of_week(names: list[object] | list[str], value: object) -> Weekdays:
    found: list[int] = []
    for each in names:
        day = each.strip().lower() if isinstance(each, str) else ""
        if day not in _GROUPS:
            raise Wrong(f"came {came(each)}; wanted: days of the week such as 'monday'{_near_day(day)}")
        found += _GROUPS[day]
    if not found:
        raise wrong(value, "at least one day of the week")
    return Weekdays(tuple(sorted(set(found))))


def _near_day(said: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(said[:80], (*WEEKDAYS, "weekday", "weekend", "day", "hour", "minute"), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _not_every(value: str, said: str) -> Wrong:
    unit = re.sub(r"^[0-9]+ ?", "", said).rstrip("s")
    if is_length(said):  # its unit is known, so it is the amount that cannot be
        return wrong(value, f"a length of more than zero, at most {LONGEST.days} days")
    if instead := _INSTEAD.get("week" if unit == "w" else unit):
        return wrong(value, instead)
    if said.startswith("@") or len(said.split()) == 5:
        return wrong(value, f"{EVERY_WANTED}; a cron expression goes into cron = '{shown(said)}'")
    return wrong(value, f"{EVERY_WANTED}{unit_hint(value)}{_near_day(said)}")


def at(value: object) -> time:
    """A time of day, strictly."""
    said = value.strip() if isinstance(value, str) else ""
    if isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?", value):
        return time.fromisoformat(value)
    raise wrong(value, f"{AT_WANTED}{_at_hint(said)}")


def _at_hint(said: str) -> str:
    if re.fullmatch(r"24:00(:00)?", said):
        return "; a day begins at '00:00'"
    if re.fullmatch(r"[0-9]{2}:[0-9]{2}:60", said):
        return "; a minute ends with second 59"
    if re.match(r"[0-9]{2}:[0-9]{2}:[0-9]{2}\.", said):
        return "; whole seconds only"
    if not (found := re.fullmatch(r"([0-9]{1,2}):([0-9]{1,2})(:[0-9]{1,2})? ?([ap]\.?m\.?)?", said.lower())):
        return ""
    hour, minute, half = int(found[1]), int(found[2]), (found[4] or "")[:1]
    if half and hour > 12:
        half = ""  # 13:00 PM is one in the afternoon already
    hour = hour % 12 + (12 if half == "p" else 0) if half else hour
    return f"; did you mean '{hour:02}:{minute:02}'?" if hour < 24 and minute < 60 else ""


def until(value: object) -> date | datetime:
    """A last day or a last moment, still without the job's zone."""
    pattern = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ Tt][0-9]{2}:[0-9]{2}(:[0-9]{2})? ?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
    if isinstance(value, str) and re.fullmatch(pattern, value):
        said = value.upper()
        try:
            clock = said[10:].replace(" ", "T", 1).replace(" ", "")
            end = datetime.fromisoformat(said[:10] + clock) if clock else date.fromisoformat(said)
            if 1970 <= end.year <= 2999:
                return end
        except ValueError:
            pass
    raise wrong(value, UNTIL_WANTED)


def last_moment(end: date | datetime, zone: str) -> datetime:
    """The end as a moment in UTC: of a date alone the last second of that day, on the wall of *zone*."""
    if not isinstance(end, datetime):
        end = datetime.combine(end, time(23, 59, 59))
    return end.astimezone(UTC) if end.utcoffset() is not None else first_instant(end, zone_named(zone))


def timezone(value: object) -> str:
    """An IANA zone by its exact name."""
    if not isinstance(value, str):
        raise wrong(value, "'UTC' or an IANA name such as 'Europe/Riga'")
    try:
        zone_named(value)
    except ValueError as error:
        raise Wrong(str(error).replace("zone '", "came '", 1)) from None
    return value


def cron(value: object) -> str:
    """An expression; its fields are read when its zone is known."""
    if not isinstance(value, str):
        raise wrong(value, "five fields in quotes, minute hour day-of-month month day-of-week, such as '15 2 * * 1-5'")
    return value


def rule_of(rhythm: Rhythm, at_time: time | None, zone: str) -> Trigger:
    """The rule of `every` and `at`. A day without a time begins at midnight; intervals count from the UTC epoch."""
    match rhythm:
        case Interval():
            return Every(rhythm.length)
        case Between():
            return EveryBetween(rhythm.low, rhythm.high)
        case Days():
            return DailyAt(at_time or time(0), zone, rhythm.count)
        case Weekdays():
            return Weekly(rhythm.days, at_time or time(0), zone)
