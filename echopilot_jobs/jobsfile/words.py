"""Plain values as people write them: texts, lists, numbers, lengths. Every refusal says what came and what is wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from echopilot_jobs.jobs.params import shown
from echopilot_jobs.typed import LONGEST
from echopilot_jobs.typed import length as typed_length

TEXT_MOST = 1_000
LIST_MOST = 50
ONE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
NAME_WANTED = "a-z, 0-9, '-' and '_', at most 64, not beginning with '-' or '_'"
_UNIT_WORDS = re.compile(r"([0-9]) ?(seconds?|secs?|minutes?|mins?|hours?|hrs?|days?)\b")


class Wrong(ValueError):
    """What is the matter with one value, complete and in one line."""


def wrong(value: object, wanted: str) -> Wrong:
    """The refusal of *value*: what came and what is wanted."""
    return Wrong(f"came {came(value)}; wanted: {wanted}")


def unshown(wanted: str) -> Wrong:
    """The refusal of a value that may be a secret (I29)."""
    return Wrong(f"its value is not shown here; wanted: {wanted}")


def is_accepted(read: Callable[[Any], object], value: object) -> bool:
    """Whether *read* takes *value*: what it refuses is told where the definition is judged."""
    try:
        read(value)
    except Wrong:
        return False
    return True


def came(value: object) -> str:
    """A value out of a file, short, in one line and with its kind to be seen."""
    if isinstance(value, str):
        return f"'{shown(value)}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "a table" if value else "an empty table"
    return shown(value)


def yes_or_no(value: object) -> bool:
    """`true` or `false`, and no text that only looks like it."""
    if not isinstance(value, bool):
        raise wrong(value, "true or false, without quotes")
    return value


def whole(least: int, most: int) -> Callable[[object], int]:
    """A reader of whole numbers from *least* to *most*."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(value, f"a whole number from {least} to {most}, without quotes")
        return value

    return read


def text(most: int = TEXT_MOST, *, empty: bool = False, wanted: str = "") -> Callable[[object], str]:
    """A reader of texts of at most *most* characters, without NUL."""
    words = wanted or f"text in quotes, at most {most:,} characters"

    def read(value: object) -> str:
        if not isinstance(value, str) or len(value) > most or "\0" in value or not (empty or value.strip()):
            raise wrong(value, words)
        return value

    return read


def one_of(known: Iterable[str]) -> Callable[[object], str]:
    """A reader of one of the words *known*."""
    words = tuple(known)

    def read(value: object) -> str:
        if value not in words:
            raise wrong(value, f"one of {', '.join(repr(word) for word in words)}{nearest(value, words)}")
        return str(value)

    return read


def nearest(value: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for a word that is close to a known one, or nothing."""
    from difflib import get_close_matches

    near = get_close_matches(value.lower()[:80], known, n=1) if isinstance(value, str) else []
    return f"; did you mean '{near[0]}'?" if near else ""


def several(read: Callable[[object], str], what: str) -> Callable[[object], tuple[str, ...]]:
    """A reader of a list of what *read* reads, or of one alone; none twice."""

    def read_all(value: object) -> tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or len(items) > LIST_MOST:
            raise wrong(value, f"a list of at most {LIST_MOST} {what}")
        found, wrongs = [], []
        for item in items:
            try:
                found.append(read(item))
            except Wrong as error:
                wrongs.append(str(error))
        if wrongs:
            raise Wrong("; and ".join(dict.fromkeys(wrongs)))
        if twice := next((item for number, item in enumerate(found) if item in found[:number]), None):
            raise Wrong(f"'{shown(twice)}' is in the list twice; wanted: once")
        return tuple(found)

    return read_all


def name(value: object) -> str:
    """A name as jobs and groups have them."""
    if not isinstance(value, str) or not ONE_NAME.fullmatch(value):
        raise wrong(value, f"a name of {NAME_WANTED}")
    return value


def tag(value: object) -> str:
    """A word or two to sort jobs by."""
    if not isinstance(value, str) or value != value.strip() or not value.isprintable() or not 1 <= len(value) <= 64:
        raise wrong(value, "tags of 1 to 64 printable characters, without spaces around them")
    return value


def length(example: str, *, most: timedelta = LONGEST, zero: bool = False) -> Callable[[object], timedelta]:
    """A reader of lengths of time with a unit, more than zero (or zero too) and at most *most*."""
    least = "zero or more" if zero else "more than zero"
    wanted = f"a length such as '{example}', {least}, at most {most.days} days"

    def read(value: object) -> timedelta:
        if zero and isinstance(value, str) and re.fullmatch(r"0+ ?(s|min|m|h|d)", value.strip().lower()):
            return timedelta(0)
        found = parsed_length(value)
        if found is None or found > most:
            raise wrong(value, f"{wanted}{unit_hint(value)}")
        return found

    return read


def parsed_length(value: object) -> timedelta | None:
    """The length *value* names, or None for what names none."""
    if not isinstance(value, str) or len(value) > 80:
        return None
    try:
        return typed_length(_UNIT_WORDS.sub(lambda found: found[1] + found[2][0], value.lower()))
    except ValueError:
        return None


def is_length(said: str) -> bool:
    """Whether *said* is written as a length of seconds, minutes, hours or days, however long."""
    return re.fullmatch(r"([0-9]+ ?(s|min|m|h|d) ?)+", _UNIT_WORDS.sub(lambda it: it[1] + it[2][0], said)) is not None


def unit_hint(value: object) -> str:
    """What to write instead of a bare number."""
    bare = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if re.fullmatch(r"[1-9][0-9]{0,8}", bare):
        return f"; a number alone has no unit: '{bare}s' is {bare} seconds, '{bare}m' minutes"
    if re.fullmatch(r"0?\.[0-9]+ ?s|[0-9]+\.[0-9]+ ?[a-z]+", bare):
        return "; whole numbers only"
    return ""


def table(value: object) -> dict[str, Any]:
    """A table as it came."""
    if not isinstance(value, dict):
        raise wrong(value, "a table, as in { key = value }")
    return value
