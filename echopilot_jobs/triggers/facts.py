"""Rules read back from plain JSON, the form the ledger keeps them in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.triggers.calendar import DailyAt, Weekly
from echopilot_jobs.triggers.cron import Cron
from echopilot_jobs.triggers.ends import OnRequest, Until
from echopilot_jobs.triggers.intervals import Every, EveryBetween
from echopilot_jobs.triggers.protocol import Trigger


def trigger_of(facts: Mapping[str, Any]) -> Trigger:
    """The rule that `as_dict` described. Raises `ValueError`, with one line, for anything else."""
    kind = facts.get("kind") if isinstance(facts, Mapping) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"a trigger of the kind '{_shown(kind)}'; known: {', '.join(KINDS)}")
    make, readers = KINDS[kind]
    if set(facts) != {"kind", *readers}:
        given = ", ".join(sorted(_shown(key) for key in facts if key != "kind")) or "nothing"
        raise ValueError(f"a trigger of the kind '{kind}' with {given}; wanted: {', '.join(readers) or 'nothing more'}")
    return make(*(read(name, facts[name]) for name, read in readers.items()))


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _unlike(name, value, "a whole number")
    return value


def _seconds(name: str, value: object) -> timedelta:
    seconds = _whole(name, value)
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise _unlike(name, value, "fewer seconds") from None


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _unlike(name, value, "a text")
    return value


def _clock_time(name: str, value: object) -> time:
    if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?", text := _text(name, value)):
        return time.fromisoformat(text)
    raise _unlike(name, value, "'HH:MM' or 'HH:MM:SS'")


def _days(name: str, value: object) -> list[int]:
    if not isinstance(value, list):
        raise _unlike(name, value, "a list of weekday numbers")
    return [_whole(name, day) for day in value]


def _moment(name: str, value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(name, value))
        if moment.utcoffset() is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _unlike(name, value, "a moment such as '2026-03-01T08:00:00Z'")


def _inner(name: str, value: object) -> Trigger:
    if not isinstance(value, Mapping) or value.get("kind") == "until":
        raise _unlike(name, value, "a trigger without an end of its own")
    return trigger_of(value)


def _unlike(name: str, value: object, wanted: str) -> ValueError:
    return ValueError(f"{name} '{_shown(value)}'; wanted: {wanted}")


def _shown(value: object) -> str:
    """The value, short and in one line; never the digits of a number too long to print."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    return shorten(plain(value), 80)


KINDS: Mapping[str, tuple[Callable[..., Trigger], Mapping[str, Callable[[str, object], Any]]]] = {
    "every": (Every, {"interval_s": _seconds, "phase_s": _seconds}),
    "every_between": (EveryBetween, {"low_s": _seconds, "high_s": _seconds}),
    "daily": (DailyAt, {"at": _clock_time, "zone": _text, "every_days": _whole}),
    "weekly": (Weekly, {"days": _days, "at": _clock_time, "zone": _text}),
    "cron": (Cron, {"expression": _text, "zone": _text}),
    "on_request": (OnRequest, {}),
    "until": (Until, {"trigger": _inner, "moment": _moment}),
}
