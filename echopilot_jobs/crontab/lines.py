"""A crontab taken apart: comments, settings, and entries with their schedule, user, command and input."""

from __future__ import annotations

import re
from collections.abc import Iterator

from echopilot_jobs.records import record

_SETTING = re.compile(
    r"""\s*(?:"(?P<double>[^"]+)"|'(?P<single>[^']+)'|(?P<bare>[A-Za-z_][A-Za-z0-9_]*))\s*=\s*(?P<value>.*)"""
)
_FIELDS = r"(?:@\S+|\S+\s+\S+\s+\S+\s+\S+\s+\S+)"
_USER = re.compile(rf"\s*(?P<when>{_FIELDS})\s+(?P<command>\S.*)")
_SYSTEM = re.compile(rf"\s*(?P<when>{_FIELDS})\s+(?P<user>\S+)\s+(?P<command>\S.*)")


@record(frozen=True)
class Comment:
    """A line for people, or an empty one."""

    text: str


@record(frozen=True)
class Setting:
    """`NAME = value`: holds for the entries below it."""

    number: int
    name: str
    value: str


@record(frozen=True)
class Entry:
    """What is to be done when. *stdin* is what stands after the first `%`, whose like mean the end of a line."""

    number: int
    text: str
    when: str
    command: str
    user: str | None = None
    stdin: str | None = None


@record(frozen=True)
class Strange:
    """A line that cron would not understand either."""

    number: int
    text: str
    reason: str


Line = Comment | Setting | Entry | Strange


def lines(text: str, *, with_user: bool) -> Iterator[Line]:
    """The lines of a crontab in their order. *with_user*: entries name a user, as in /etc/crontab and /etc/cron.d."""
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            yield Comment(line)
        elif found := _SETTING.fullmatch(line):
            yield Setting(
                number, found["double"] or found["single"] or found["bare"], _unquoted(found["value"].strip())
            )
        else:
            yield _entry(number, line, with_user)


def _entry(number: int, line: str, with_user: bool) -> Entry | Strange:
    found = (_SYSTEM if with_user else _USER).fullmatch(line)
    if found is None:
        wanted = (
            "five fields or @daily and the like, a user, a command"
            if with_user
            else "five fields or @daily and the like, then a command"
        )
        return Strange(number, line, f"wanted: {wanted}")
    command, stdin = _parted(found["command"])
    user = found["user"] if with_user else None
    return Entry(number, line, " ".join(found["when"].split()), command, user, stdin)


def _parted(said: str) -> tuple[str, str | None]:
    """The command and its standard input. A `%` means the end of a line unless a backslash stands before it."""
    pieces = [piece.replace(r"\%", "%") for piece in re.split(r"(?<!\\)%", said)]
    command = pieces[0].rstrip()
    return command, "\n".join(pieces[1:]) if len(pieces) > 1 else None


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
