"""The times of the last day in which no scheduler ran, with their cause and their cost, as a person is told of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from echopilot_jobs.accounting.lives import newest_outage, strip
from echopilot_jobs.records import record
from echopilot_jobs.spans import span

if TYPE_CHECKING:
    from echopilot_jobs.accounting.lives import Piece, Strip
    from echopilot_jobs.ledger import Ledger, SqliteReading
    from echopilot_jobs.outages import Outage

DAY = timedelta(days=1)
LEAST = timedelta(minutes=1)  # in all; less is restarts

Cost = tuple["Outage | None", datetime, int]  # slots without a run: missed in which outage, from when on, how many


@record(frozen=True)
class Darkness:
    """The dark stretches of *day*, which has one at least, the *newest* outage among them, and what they cost.

    *slots* of them had no run of their own, the first at *since*: a gap may begin before the day does.
    """

    day: Strip
    newest: Outage | None
    slots: int
    since: datetime

    @property
    def goes_on(self) -> bool:
        """Whether none runs now."""
        return self.day.darks[-1].end == self.day.end

    @property
    def log_may_tell(self) -> bool:
        """Whether supervisord may have seen more of the end than the ledger: not of its own, nor of a machine asleep."""
        from echopilot_jobs.outages import Cause

        newest = self.newest
        unclear = newest is None or (newest.cause in (Cause.CRASH, Cause.UNKNOWN) and not newest.detail)
        return unclear and not self.goes_on  # why is told where it is told that none leads

    def words(self, show: Callable[[datetime], str]) -> str:
        """In a line; *show* puts moments. Of several times the cause of the newest is told."""
        why = f": {self.newest.why}" if self.newest else ""
        earlier = f" since {show(self.since)}" if self.since < self.day.start else ""
        slots = f"{self.slots:,} slot{'' if self.slots == 1 else 's'}{earlier}"
        cost = f"{slots} had no run of {'its' if self.slots == 1 else 'their'} own"
        if self.goes_on:  # nobody has counted those that came due since
            cost = f"{f'{cost}; ' if self.slots else ''}what has come due since is decided when one leads again"
        return f"no scheduler ran {self._when(show)}{why}; {cost}"

    def _when(self, show: Callable[[datetime], str]) -> str:
        """From when to when, and how long; of several times how many, how long in all, and when the newest was."""
        day, newest = self.day, self.day.darks[-1]
        when = f"since {show(newest.start)}" if self.goes_on else f"from {show(newest.start)} to {show(newest.end)}"
        if len(day.darks) > 1:
            return f"{len(day.darks)} times in the last 24 h, {span(day.dark)} in all, the last time {when}"
        if newest.start > day.start:
            return f"{when}, {span(day.dark)}"
        return (
            "at all in the last 24 h"
            if self.goes_on
            else f"up to {show(newest.end)}, {span(day.dark)} of the last 24 h"
        )


def darkness(day: Strip, costs: Sequence[Cost], newest: Outage | None) -> Darkness | None:
    """What is told of the dark stretches of *day*; None where they are short. *newest* is the outage of the last one."""
    if day.dark < LEAST:
        return None
    missed = [(first, count) for outage, first, count in costs if _lies_in(outage, day.darks)]
    since = min((first for first, _ in missed), default=day.end)
    return Darkness(day, newest, sum(count for _, count in missed), since)


def dark_before(ledger: Ledger | SqliteReading, now: datetime) -> Darkness | None:
    """The same of the 24 hours before *now*, without a stretch that goes on; None where there was none to speak of."""
    day = strip(ledger, now - DAY, now)
    if day.pieces[-1].kind == "dark":
        day = replace(day, end=day.pieces[-1].start, pieces=day.pieces[:-1])
    if day.dark < LEAST:  # to read what was missed takes more loading than to ask for lives
        return None
    return darkness(day, _costs(ledger, now - DAY, now), newest_outage(ledger, day))


def _costs(ledger: Ledger | SqliteReading, start: datetime, end: datetime) -> list[Cost]:
    skips = [(skip.outage, skip.slot.due_at, 1) for skip in ledger.skips_between(start, end)]
    return [*skips, *((gap.outage, gap.first, gap.count) for gap in ledger.gaps_between(start, end))]


def _lies_in(outage: Outage | None, darks: Sequence[Piece]) -> bool:
    """Whether it is one of the stretches without a scheduler: what was only paused or still running was missed in none."""
    return outage is not None and any(dark.start < outage.until and outage.since < dark.end for dark in darks)
