"""What may be typed: values refused with what came and what is wanted."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import click

from echopilot_jobs import typed
from echopilot_jobs.plain import plain
from echopilot_jobs.spans import relative

LARGEST = 2**63 - 1


def whole(wanted: str, most: int = LARGEST) -> Callable[[str | int], int]:
    """A reader of whole numbers from 1 to *most* in plain digits; *wanted* says so in words."""

    def number(value: str | int) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", str(value)) or not 1 <= int(value) <= most:
            raise click.BadParameter(f"came '{str(value)[:80]}'; wanted: {wanted}")
        return int(value)

    return number


def run_number(value: str | int) -> int:
    """A reader of a run's number; who gives a job's name is told which of its runs may be meant."""
    wanted = "a run's number, for example 12"
    if isinstance(value, str) and not value.isdecimal() and (words := _runs_of(value)):
        raise click.BadParameter(f"came '{plain(value)[:80]}', which is a job; wanted: a run's number; {words}")
    return whole(wanted)(value)


def _runs_of(name: str) -> str | None:
    """Where the runs of the job *name* are; None when no job of that name was ever seen."""
    from echopilot_jobs.cli import sight
    from echopilot_jobs.errors import EchoPilotError

    try:
        with contextlib.closing(sight.reading(sight.settings())) as ledger:
            if name not in ledger.first_seen():
                return None
            newest = ledger.runs(job_name=name, limit=1)
    except EchoPilotError:
        return None  # what is wrong is told to whoever gives a number
    has = f"its newest is {newest[0].id}" if newest else "it has none yet"
    return f"{has}, `echopilot runs {name}` lists them"


class OneOf(click.Choice[str]):
    """A reader of one of a few words. *name*: what an argument is called when its value is refused."""

    def __init__(self, words: Iterable[str], name: str | None = None) -> None:
        super().__init__(list(words))
        self._called = name

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in self.choices:
            return value
        words = f"came '{plain(value)[:80]}'; wanted: {', '.join(self.choices)}"
        raise refused(self._called, words) if self._called else click.BadParameter(words, ctx, param)


def seconds(value: str | float) -> float:
    """A reader of lengths in seconds: above zero, in plain digits, a fraction allowed."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", str(value)) or float(value) <= 0:
        raise click.BadParameter(f"came '{str(value)[:80]}'; wanted: seconds, more than zero, for example 30")
    return float(value)


def length(value: str | timedelta) -> timedelta:
    """A reader of lengths of time: `90s`, `15m`, `2h`, `3d`, `1h30m`."""
    if isinstance(value, timedelta):
        return value
    try:
        return typed.length(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def zone(value: str) -> str:
    """A reader of IANA zone names."""
    from echopilot_jobs.triggers import zone_named

    try:
        zone_named(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


def moment(name: str, text: str, now: datetime, zone: str | None = None, *, prefer: typed.Prefer = "past") -> datetime:
    """The moment typed for *name*, in UTC; a wall time without a zone of its own is in *zone*, by default UTC."""
    try:
        return typed.moment(text, now, zone or "UTC", prefer=prefer)
    except ValueError as error:
        raise refused(name, str(error)) from None


def past_moment(name: str, text: str, now: datetime, zone: str | None = None) -> datetime:
    """As `moment`, and not later than now."""
    found = moment(name, text, now, zone)
    if found > now:
        raise refused(name, f"came '{plain(text)[:80]}', which is {relative(found, now)}; wanted: a moment up to now")
    return found


def future_moment(name: str, text: str, now: datetime, zone: str | None = None) -> datetime:
    """As `moment`, and later than now."""
    found = moment(name, text, now, zone, prefer="future")
    if found <= now:
        raise refused(name, f"came '{plain(text)[:80]}', which is {relative(found, now)}; wanted: a moment to come")
    return found


def refused(name: str, words: str) -> click.BadParameter:
    """The refusal of one option's or argument's value."""
    return click.BadParameter(words, param_hint=f"'{name}'")
