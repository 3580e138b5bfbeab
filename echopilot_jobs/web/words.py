"""Moments, durations, amounts and other people's text, as a person reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from echopilot_jobs.plain import plain_lines, shorten
from echopilot_jobs.runs import Run, State
from echopilot_jobs.slots import SkipReason
from echopilot_jobs.spans import span

# Colour never speaks alone: each state has a sign beside its words.
SIGNS = {
    State.QUEUED: ("…", "open"),
    State.RUNNING: ("▸", "open"),
    State.RETRY_WAIT: ("↻", "open"),
    State.SUCCEEDED: ("✓", "good"),
    State.FAILED: ("✕", "bad"),
    State.TIMED_OUT: ("✕", "bad"),
    State.ABANDONED: ("✕", "bad"),
    State.CANCELLED: ("—", "dull"),
}
REASONS = {
    SkipReason.EXPIRED: "missed, and not caught up",
    SkipReason.COALESCED: "a newer slot stood in",
    SkipReason.OVERLAP: "the run before had not ended",
    SkipReason.PAUSED: "paused",
    SkipReason.DISABLED: "disabled",
    SkipReason.CAP: "over the catch-up limit",
    SkipReason.DST_GAP: "no such local time that day",
    SkipReason.SUPERSEDED: "its times were changed, or the job was removed, first",
    SkipReason.OPERATOR: "an operator said so",
    SkipReason.CLOCK_HOLD: "held while the clock was in doubt",
}


def clock_text(moment: datetime, now: datetime) -> str:
    """The UTC time of day, with the date when it is not today's: `08:00:00`, `2 Mar 08:00:00`."""
    utc = moment.astimezone(UTC)
    if utc.date() == now.astimezone(UTC).date():
        return f"{utc:%H:%M:%S}"
    year = f" {utc.year}" if utc.year != now.year else ""
    return f"{utc.day} {utc:%b}{year} {utc:%H:%M:%S}"


def state_words(run: Run, now: datetime) -> str:
    """The run's state, and until when it waits: `waiting to retry at 08:05:00`."""
    return run.state_words(lambda moment: clock_text(moment, now))


def milliseconds(count: int | None) -> str:
    """A measured duration: `4 ms`, `1.2 s`, `3 min 20 s`; a dash for none."""
    return "—" if count is None else span(timedelta(milliseconds=count))


def lasting(length: timedelta | None) -> str:
    """A length of time, never less than none: `1.2 s`, `3 min 20 s`; a dash where there is none."""
    return "—" if length is None else span(max(length, timedelta(0)))


def printed(text: str) -> str:
    """What a job printed, with nothing left in it that could move, turn or hide anything (S14)."""
    return "\n".join(plain_lines(text))


def excerpt(text: object, most: int = 160) -> str:
    """The last line of *text* that says something, shortened: of a traceback that is the error itself."""
    lines = [line.strip() for line in plain_lines(str(text)) if line.strip()]
    return shorten(lines[-1], most) if lines else ""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 run`, `3 runs`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def pretty(value: object) -> str:
    """JSON as a person reads it: indented, text as it is."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def typed(value: object) -> str:
    """A parameter's value as a person would type it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
