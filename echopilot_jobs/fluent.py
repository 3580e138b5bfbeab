"""Definitions in the fluent words of `schedule`, turned into our rules.

`every(6).hours`, `every().day.at("08:00", "Europe/Riga")`, `every().monday`, `every(5).to(10).minutes`, `.until(...)` and
`.tag(...)` mean here what the library's documentation says they mean. What the library itself makes of them depends on when
the program started and how long its jobs took; our rules depend on time alone:

- intervals count from the UTC epoch, so `every(6).hours` is 00:00, 06:00, 12:00 and 18:00 UTC;
- `.at` without a zone is UTC; a weekday without `.at` is its midnight; `every(3).days.at(...)` counts days from 1970-01-01;
- `.until` of a naive moment is UTC, and a moment already past is no error: a job whose time is over loads, and rests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any, NoReturn, Self

import schedule

from echopilot_jobs.clock import Clock, SystemClock
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record
from echopilot_jobs.triggers import Cron, DailyAt, Every, EveryBetween, Trigger, Until, Weekly, offsets_of, zone_named
from echopilot_jobs.triggers.calendar import WEEKDAYS

UNTIL_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%H:%M:%S", "%H:%M")
UNITS = ("seconds", "minutes", "hours", "days", "weeks")
AT_FORMS = "'HH:MM' or 'HH:MM:SS' for days and weekdays, ':MM' or 'MM:SS' for hours, ':SS' for minutes"
NO_UNITS = re.compile("(month|quarter|year)s?")


class FluentError(schedule.ScheduleValueError, ValueError):
    """Words that make no rule. One line, for a person."""


@record(frozen=True)
class Translation:
    """What a definition in fluent words comes to: a rule, and the tags as texts in alphabetical order."""

    trigger: Trigger
    tags: tuple[str, ...] = ()


def every(interval: int = 1, clock: Clock | None = None) -> Words:
    """A definition to be spoken on: `every(10).minutes`. It runs nothing; `translate` makes a rule of it.

    *clock* is what "today" and "in eight hours" of `.until` count from; the machine's own when left out.
    """
    return Words(interval, clock or SystemClock())


class Words(schedule.Job):
    """The library's own words, with the parts of them replaced that need its other dependencies or the local time zone."""

    at_time_zone: Any  # the library says None here and keeps a zone in it

    def __init__(self, interval: int, clock: Clock) -> None:
        super().__init__(interval, None)
        self._clock = clock

    def at(self, time_str: str, tz: str | tzinfo | None = None) -> Self:
        """The time at which it is due, in the zone *tz* (an IANA name; UTC when left out)."""
        try:
            super().at(time_str)
        except (schedule.ScheduleValueError, TypeError):
            unit = self.unit or "nothing yet"
            raise FluentError(
                f"at '{_shown(time_str)}' after '{unit}'; wanted: {AT_FORMS}, said after the unit"
            ) from None
        self.at_time_zone = zone_named(_zone_name(tz))
        return self

    def until(self, until_time: datetime | timedelta | time | str) -> Self:
        """The last moment at which it may be due, in any of the library's forms; naive ones are UTC."""
        try:
            self.cancel_after = _last_moment(until_time, self._clock.now())
        except OverflowError:
            raise FluentError(f"until '{_shown(until_time)}'; wanted: an end before the year 10000") from None
        return self

    def do(self, job_func: Callable[..., Any], *_args: Any, **_kwargs: Any) -> NoReturn:
        """Not part of a definition: what runs is said where the job is declared."""
        name = getattr(job_func, "__name__", job_func)
        raise FluentError(f"'.do' with '{_shown(name)}'; a definition says only when: leave '.do' out")

    def __getattr__(self, name: str) -> Any:
        if NO_UNITS.fullmatch(name):
            raise FluentError(f"unit '{name}'; known: {', '.join(UNITS)} and the days of the week; else use cron")
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")


def translate(definition: schedule.Job) -> Translation:
    """The rule and the tags of a definition, by `every` above or by the library's own `schedule.every`.

    Raises `FluentError`, a `ValueError`, with one line about what has no moments of its own.
    """
    if not isinstance(definition, schedule.Job):
        raise FluentError(f"'{_shown(definition)}' is not a definition; wanted: words such as every(10).minutes")
    try:
        trigger = _rule_of(definition)
        if definition.cancel_after is not None:
            trigger = Until(trigger, _in_utc(definition.cancel_after))
    except FluentError:
        raise
    except ValueError as error:
        raise FluentError(f"{_said(definition)}: {error}") from None
    return Translation(trigger, tuple(sorted({str(tag) for tag in definition.tags})))


def _rule_of(said: schedule.Job) -> Trigger:
    if said.unit is None:
        raise FluentError(
            f"every({_shown(said.interval)}) of nothing; wanted: {', '.join(UNITS)} or a day of the week after it"
        )
    length = _length(said, said.interval)
    if said.latest is not None:
        return _irregular(said, length, _length(said, said.latest))
    if said.start_day is not None:
        return _weekly(said)
    if said.at_time is None:
        return Every(length)
    if said.unit == "days":
        return DailyAt(said.at_time, _zone_name(said.at_time_zone), length.days)
    if said.unit in ("hours", "minutes"):
        return _within_the_hour(said, length, said.at_time)
    raise FluentError(f"{_said(said)} at '{said.at_time}'; wanted: {AT_FORMS}")


def _irregular(said: schedule.Job, low: timedelta, high: timedelta) -> Trigger:
    if said.at_time is not None or said.start_day is not None:
        raise FluentError(f"{_said(said)} to {said.latest} at a fixed time or day; wanted: one or the other")
    return Every(low) if low == high else EveryBetween(low, high)


def _weekly(said: schedule.Job) -> Trigger:
    if said.unit != "weeks" or said.interval != 1:
        raise FluentError(
            f"{_said(said)} on '{said.start_day}'; wanted: every() before a day of the week, no unit after it"
        )
    days = [WEEKDAYS.index(said.start_day)]
    return Weekly(days, said.at_time or time(0), _zone_name(said.at_time_zone))


def _within_the_hour(said: schedule.Job, length: timedelta, at: time) -> Trigger:
    """`every(2).hours.at("20:30")`: the zone matters only where it is not whole hours from UTC."""
    phase = timedelta(minutes=at.minute, seconds=at.second)
    zone = _zone_name(said.at_time_zone)
    hour = timedelta(hours=1)
    shares = {offset % hour for offset in offsets_of(zone)} if said.unit == "hours" else {timedelta(0)}
    if len(shares) == 1:
        return Every(length, (phase - shares.pop()) % hour)
    if length == hour and not at.second:
        return Cron(f"{at.minute} * * * *", zone)
    raise FluentError(
        f"{_said(said)} at '{at}' in '{zone}', whose clocks jump by part of an hour; wanted: UTC, or use cron"
    )


def _length(said: schedule.Job, count: object) -> timedelta:
    if isinstance(count, bool) or not isinstance(count, int | float):
        raise FluentError(f"every '{_shown(count)}' {said.unit}; wanted: a number")
    try:
        length = timedelta(**{str(said.unit): count})
    except (OverflowError, TypeError, ValueError):
        raise FluentError(f"every '{_shown(count)}' {said.unit}; wanted: a number of {', '.join(UNITS)}") from None
    if said.unit == "days" and said.at_time is not None and length % timedelta(days=1):
        raise FluentError(f"every '{_shown(count)}' days at '{said.at_time}'; wanted: whole days")
    return length


def _zone_name(zone: object) -> str:
    """The name of a zone given as text, by `zoneinfo` or by `pytz`."""
    if zone is None:
        return "UTC"
    name = zone if isinstance(zone, str) else getattr(zone, "key", None) or getattr(zone, "zone", None)
    if not isinstance(name, str):
        raise FluentError(f"zone '{_shown(zone)}'; wanted: 'UTC' or an IANA name such as 'Europe/Riga'")
    return name


def _last_moment(said: object, now: datetime) -> datetime:
    if isinstance(said, datetime):
        return _in_utc(said)
    if isinstance(said, timedelta):
        return now + said
    if isinstance(said, time):
        return _in_utc(datetime.combine(now.astimezone(said.tzinfo or UTC).date(), said))
    for form in UNTIL_FORMS if isinstance(said, str) else ():
        try:
            moment = datetime.strptime(str(said), form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return moment if "%Y" in form else _last_moment(moment.timetz(), now)
    raise FluentError(
        f"until '{_shown(said)}'; wanted: 'YYYY-MM-DD', 'YYYY-MM-DD HH:MM[:SS]', 'HH:MM[:SS]', a moment or a length"
    )


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.utcoffset() is None else moment.astimezone(UTC)


def _said(definition: schedule.Job) -> str:
    return f"every({_shown(definition.interval)}).{definition.unit}"


def _shown(value: object) -> str:
    return shorten(plain(value), 80)
