"""Stretches of slots that share one fate: gathered one by one, or counted without a visit to each.

A month in which a job of one second was down is two and a half million slots and one decision. Where an interval and the
edges of pauses say how many slots lie between two moments, arithmetic counts them; what is near enough to now to be run,
and what jitter makes uncertain, is looked at one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from echopilot_jobs.holds import Pause
from echopilot_jobs.jobs import Job, slots
from echopilot_jobs.records import record
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.triggers import Every, Until

GAP_ABOVE = 100
KEPT = 40  # more than the slots of fifteen seconds and a full catch-up together

_INSTANT = timedelta(microseconds=1)


@record(frozen=True)
class SkippedStretch:
    """Consecutive skipped slots of one reason. One row each up to `GAP_ABOVE` of them, a single gap row beyond.

    *slots* is empty when there are more than `GAP_ABOVE`.
    """

    reason: SkipReason
    first: Slot
    last: Slot
    count: int
    slots: tuple[Slot, ...] = ()

    @property
    def is_gap(self) -> bool:
        """Whether these become one gap row."""
        return self.count > GAP_ABOVE


class Due(NamedTuple):
    """A slot and its place among those that came due, so that neighbours are known."""

    number: int
    slot: Slot


@dataclass
class Tally:
    """Consecutive slots of one fate, counted; listed only while there are few."""

    reason: SkipReason
    first: Slot
    last: Slot
    last_number: int
    count: int = 0
    slots: list[Slot] = field(default_factory=list)

    def takes(self, number: int, reason: SkipReason) -> bool:
        """Whether slot *number* is the next one of the same fate."""
        return self.reason is reason and number == self.last_number + 1

    def add(self, last: Due, count: int = 1) -> None:
        """Take in *count* more slots, of which *last* is the newest."""
        self.last_number, self.last = last
        self.count += count
        if self.count <= GAP_ABOVE:  # a count above one comes only with more than that
            self.slots.append(last.slot)

    def stretch(self) -> SkippedStretch:
        listed = () if self.count > GAP_ABOVE else tuple(self.slots)
        return SkippedStretch(self.reason, self.first, self.last, self.count, listed)


@dataclass
class Gathered:
    """What came due: the newest slots one by one, all older ones counted under their reason."""

    open: deque[Due] = field(default_factory=deque)
    tallies: list[Tally] = field(default_factory=list)
    counted: int = 0  # slots disposed of by arithmetic, all older than those looked at

    def skip(self, due: Due, reason: SkipReason) -> None:
        self._tally(due.number, due.slot, reason).add(due)

    def skip_all(self, found: Iterable[Due], reason: SkipReason) -> None:
        for due in found:
            self.skip(due, reason)

    def skip_many(self, first: Slot, last: Slot, count: int, reason: SkipReason) -> None:
        """Skip *count* slots from *first* to *last*, more than `GAP_ABOVE`, that follow those counted so far."""
        tally = self._tally(self.counted, first, reason)
        self.counted += count
        tally.add(Due(self.counted - 1, last), count)

    def _tally(self, number: int, slot: Slot, reason: SkipReason) -> Tally:
        for tally in reversed(self.tallies[-2:]):  # slots still open lag behind: their tally may be the last but one
            if tally.takes(number, reason):
                return tally
        self.tallies.append(Tally(reason, slot, slot, number - 1))
        return self.tallies[-1]


@record(frozen=True)
class _Stretch:
    """[since, until) with one fate for every slot in it."""

    since: datetime
    until: datetime
    fate: SkipReason


def count_off(
    job: Job,
    gathered: Gathered,
    after: datetime,
    through: datetime,
    *,
    generation: int,
    pauses: Sequence[Pause],
    expired_before: datetime,
    older: SkipReason,
) -> datetime:
    """Count the slots of an interval job in (after, through] whose fate is sure, oldest first.

    Returns the moment after which slots are to be looked at one by one. Expired are those planned before
    *expired_before*; of those that may still run all but the newest `KEPT` are *older*.
    """
    trigger, end = (job.trigger.trigger, job.trigger.moment) if isinstance(job.trigger, Until) else (job.trigger, None)
    until = through if end is None else min(through, end)
    if not isinstance(trigger, Every) or (until - after) // trigger.interval <= GAP_ABOVE:
        return after
    start, stop = after + _INSTANT, until + _INSTANT
    if not job.enabled:
        sure = [_Stretch(start, stop, SkipReason.DISABLED)]
    else:
        edge = min(expired_before - job.jitter, stop)
        open_to = _newest_kept(trigger, edge, stop, pauses) if not job.jitter else edge
        expired = _cut(start, edge, pauses, SkipReason.EXPIRED)
        sure = [*expired, *_cut(max(start, edge), open_to, pauses, older)]
    for stretch in sure:
        _count(job, trigger, gathered, stretch, generation)
        after = stretch.until - _INSTANT
    return after


def stretch_of(
    job: Job, after: datetime, until: datetime, generation: int, reason: SkipReason
) -> SkippedStretch | None:
    """All slots of *job* in (after, until] as one stretch of *reason*; None when there are none."""
    gathered = Gathered()
    looked_from = count_off(
        job, gathered, after, until, generation=generation, pauses=(), expired_before=after, older=reason
    )
    for number, slot in enumerate(slots(job, looked_from, until, generation), gathered.counted):
        gathered.skip(Due(number, slot), reason)
    return gathered.tallies[0].stretch() if gathered.tallies else None


def _cut(since: datetime, until: datetime, pauses: Sequence[Pause], fate: SkipReason) -> Iterator[_Stretch]:
    """[since, until) cut at the edges of pauses; what they cover is paused."""
    edges = {moment for pause in pauses for moment in (pause.since, pause.until) if moment and since < moment < until}
    cuts = sorted({since, *edges, until}) if since < until else []
    for early, late in pairwise(cuts):
        covered = any(pause.covers(early) for pause in pauses)
        yield _Stretch(early, late, SkipReason.PAUSED if covered else fate)


def _newest_kept(trigger: Every, since: datetime, until: datetime, pauses: Sequence[Pause]) -> datetime:
    """The latest moment from which on at least `KEPT` slots may still be run; *since* where there are fewer."""
    missing = KEPT
    for stretch in reversed([*_cut(since, until, pauses, SkipReason.EXPIRED)]):
        if stretch.fate is SkipReason.PAUSED:
            continue
        found = (stretch.until - stretch.since) // trigger.interval
        if found > missing:
            return stretch.until - (missing + 1) * trigger.interval
        missing -= found
    return since


def _count(job: Job, trigger: Every, gathered: Gathered, stretch: _Stretch, generation: int) -> None:
    """Skip every slot of *stretch*: as one when there are many, one by one when there are few."""
    first = next(trigger.after(stretch.since - _INSTANT), None)
    if first is None or first >= stretch.until:
        return
    count = (stretch.until - _INSTANT - first) // trigger.interval + 1
    moments = [first + n * trigger.interval for n in (range(count) if count <= GAP_ABOVE else (0, count - 1))]
    found = [Slot(job.name, moment, generation) for moment in moments]
    if count > GAP_ABOVE:
        gathered.skip_many(found[0], found[-1], count, stretch.fate)
        return
    for slot in found:
        gathered.skip(Due(gathered.counted, slot), stretch.fate)
        gathered.counted += 1
