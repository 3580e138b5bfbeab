"""What the jumps of a zone's clocks do to a rule, in words for those who wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile
from typing import Literal
from zoneinfo import ZoneInfo

from echopilot_jobs.clock import iso
from echopilot_jobs.records import record
from echopilot_jobs.triggers.calendar import DailyAt, Weekly
from echopilot_jobs.triggers.cron import Cron
from echopilot_jobs.triggers.ends import Until
from echopilot_jobs.triggers.protocol import Trigger
from echopilot_jobs.triggers.zones import SECOND, Change, changes, first_instant

Effect = Literal["moved", "first_copy", "left_out", "both_copies"]
_WORDS: dict[Effect, str] = {
    "moved": "does not exist; runs at the first instant after it",
    "first_copy": "comes twice; the first copy runs",
    "left_out": "does not exist; nothing runs",
    "both_copies": "comes twice; both copies run",
}


@record(frozen=True)
class DstNote:
    """One nominal time that a jump of the clock touches.

    *wall* is what the rule names (naive, in *zone*); *at* the first real moment that belongs to it (UTC), None if none
    does. *effect*: `moved` (a gap; runs once just after it), `first_copy` (a fold; the second copy does not run), and for
    rules with wildcards `left_out` and `both_copies`.
    """

    effect: Effect
    wall: datetime
    at: datetime | None
    zone: str

    def __str__(self) -> str:
        when = f" ({iso(self.at)})" if self.at else ""
        return f"{self.wall:%Y-%m-%d %H:%M:%S} {self.zone} {_WORDS[self.effect]}{when}"


def dst_notes(trigger: Trigger, start: datetime, end: datetime) -> list[DstNote]:
    """The nominal times of *trigger* that a jump of the clock in (start, end] moves, doubles or leaves out, in order.

    None for rules that count time as it passes, nor for cron rules of every hour: there each hour of real time has its
    moments.
    """
    if isinstance(trigger, Until):
        return dst_notes(trigger.trigger, start, min(end, trigger.moment))
    if not isinstance(trigger, DailyAt | Weekly | Cron) or (isinstance(trigger, Cron) and trigger.is_of_every_hour):
        return []
    jumps = changes(trigger.zone, start.astimezone(UTC), end.astimezone(UTC))
    return [note for jump in jumps for note in _notes_of(trigger, jump)]


def _notes_of(trigger: DailyAt | Weekly | Cron, jump: Change) -> Iterator[DstNote]:
    first, stop = jump.walls
    zone = ZoneInfo(trigger.zone)
    effect: Effect
    if trigger.follows_real_time:
        effect = "left_out" if jump.is_gap else "both_copies"
    else:
        effect = "moved" if jump.is_gap else "first_copy"
    for wall in takewhile(lambda wall: wall < stop, trigger.walls(first - SECOND)):
        yield DstNote(effect, wall, None if effect == "left_out" else first_instant(wall, zone), trigger.zone)
