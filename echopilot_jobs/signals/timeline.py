"""When records came: the usual cadence, how much of the time is covered, where it was silent, where two wrote at once.

All figures are epoch seconds and durations in seconds; all functions are pure.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from math import floor, isnan
from statistics import median

from echopilot_jobs.records import record
from echopilot_jobs.signals.moments import EARLIEST

FUTURE_SLACK = 300.0
DAY = 86_400.0


@record(frozen=True)
class Outage:
    """A silence: from the last record before it to the first one after."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@record(frozen=True)
class Coverage:
    """The share of the time between first and last record that has one: *covered* of *total* such *unit*s."""

    covered: float
    total: float
    unit: str

    @property
    def share(self) -> float:
        return min(1.0, self.covered / self.total) if self.total else 1.0


@record(frozen=True)
class Timeline:
    """What the moments of one signal tell. `visits` are the moments with near-simultaneous records taken as one."""

    times: array[float]
    visits: array[float]
    cadence: float | None  # the usual interval; None when there are too few records
    regular: bool  # whether most intervals are near the cadence
    outages: tuple[Outage, ...]  # longest first
    coverage: Coverage | None
    untimed: int
    before_clocks: int  # stamped before 1990: a clock that was not set
    ahead: int  # stamped later than now
    furthest_ahead: float
    left_out: int  # records ahead by more than a day, kept out of the timeline
    backwards: int  # records stamped earlier than the one before them in the file

    @property
    def first(self) -> float:
        return self.times[0]

    @property
    def last(self) -> float:
        return self.times[-1]

    @property
    def seconds(self) -> float:
        return self.times[-1] - self.times[0] if self.times else 0.0


def timeline(moments: Sequence[float], now: float) -> Timeline:
    """Read the *moments* of a signal's rows (NaN where a row has none) as seen at *now*."""
    timed = [t for t in moments if not isnan(t)]
    plausible = [t for t in timed if t >= EARLIEST]
    ahead = [t for t in plausible if t > now + FUTURE_SLACK]
    kept = [t for t in plausible if t <= now + DAY]
    if len(kept) * 2 < len(plausible):  # the whole file lives in the future: then its own order is all there is
        kept = plausible
    times = array("d", sorted(kept))
    visits = _visits(times)
    usual, regular = cadence(visits)
    gaps = outages(visits, usual, regular)
    return Timeline(
        times=times,
        visits=visits,
        cadence=usual,
        regular=regular,
        outages=gaps,
        coverage=coverage(times, usual, regular, gaps),
        untimed=len(moments) - len(timed),
        before_clocks=len(timed) - len(plausible),
        ahead=len(ahead),
        furthest_ahead=max(ahead, default=now) - now,
        left_out=len(plausible) - len(kept),
        backwards=sum(b < a for a, b in pairwise(plausible)),
    )


def _visits(times: array[float]) -> array[float]:
    """*times* without the followers in a burst.

    A check that writes three lines within milliseconds every five minutes has a cadence of five minutes. The intervals of
    such a file fall in two heaps far apart; the wide empty stretch between the heaps is where the line is drawn.
    """
    distinct = sorted(set(times))
    line = _burst_line([b - a for a, b in pairwise(distinct)])
    if line is None:
        return array("d", distinct)
    return array("d", [t for i, t in enumerate(distinct) if i == 0 or t - distinct[i - 1] > line])


def _burst_line(intervals: list[float]) -> float | None:
    """The interval that separates bursts from the cadence, or None when there are no two heaps."""
    ordered = sorted(max(i, 1e-6) for i in intervals)
    n = len(ordered)
    if n < 8:
        return None
    low, high = n // 10, n - max(n // 10, 4)
    jumps = ((ordered[i + 1] / ordered[i], i) for i in range(low, high))
    ratio, where = max(jumps, default=(1.0, 0))
    # Above the line there must be a cadence, not just the tail of outages: half of those intervals near their median.
    above = ordered[where + 1 :]
    if ratio < 8 or _near(above) < 0.5:
        return None
    return float((ordered[where] * ordered[where + 1]) ** 0.5)


def _near(ordered: Sequence[float]) -> float:
    """The share of the sorted intervals within half of their median."""
    middle = median(ordered)
    return sum(0.5 * middle <= i <= 1.5 * middle for i in ordered) / len(ordered)


def cadence(visits: Sequence[float]) -> tuple[float | None, bool]:
    """The usual interval (the median, which outages and bursts do not move) and whether the signal keeps to it."""
    intervals = sorted(b - a for a, b in pairwise(visits))
    if len(intervals) < 4:
        return None, False
    usual: float = median(intervals)
    return usual, len(intervals) >= 6 and _near(intervals) >= 0.5


def patience(usual: float, regular: bool, intervals: Sequence[float] = ()) -> float:
    """How long a silence must be to count as one.

    A regular signal may miss two beats (one, when beats are an hour or more apart: a daily record that is missing is
    news). An irregular one is only silent beyond ten times the interval that nine of ten stay under.
    """
    if regular:
        return usual * (1.75 if usual >= 3600 else 3.0)
    ordered = sorted(intervals)
    return 10 * max(ordered[int(len(ordered) * 0.9)] if ordered else usual, usual, 60.0)


def outages(visits: Sequence[float], usual: float | None, regular: bool) -> tuple[Outage, ...]:
    """The silences between *visits*, longest first."""
    if usual is None:
        return ()
    intervals = [b - a for a, b in pairwise(visits)]
    limit = patience(usual, regular, intervals)
    found = [Outage(a, b) for a, b in pairwise(visits) if b - a > limit]
    return tuple(sorted(found, key=lambda outage: (-outage.seconds, outage.start)))


def coverage(times: Sequence[float], usual: float | None, regular: bool, gaps: Sequence[Outage]) -> Coverage | None:
    """The share of time covered; None for a signal without a cadence of its own.

    With a record a minute or more often: distinct minutes that have a record, of the minutes from first to last. Slower
    signals: the hours that are no outage (an outage begins one cadence after the last record), of all hours.
    """
    if usual is None or not regular or len(times) < 8:
        return None
    seconds = times[-1] - times[0]
    if usual <= 90 and seconds >= 600:
        total = floor(seconds / 60)
        return Coverage(min(len({int(t // 60) for t in times}), total), total, "minutes")
    silent = sum(gap.seconds - usual for gap in gaps)
    return Coverage((seconds - silent) / 3600, seconds / 3600, "hours")


@record(frozen=True)
class Doubling:
    """Intervals far below the usual one: *count* of *of* under *limit* seconds, first and last of them."""

    count: int
    of: int
    limit: float
    first: float
    last: float


def doubling(line: Timeline) -> Doubling | None:
    """Where records came in less than half the usual time; None for a signal that keeps no cadence."""
    if line.cadence is None or not line.regular or line.cadence < 2:
        return None
    limit = nice_floor(line.cadence / 2)
    starts = [a for a, b in pairwise(line.visits) if b - a < limit]
    if not starts:
        return None
    return Doubling(len(starts), len(line.visits) - 1, limit, starts[0], starts[-1])


def nice_floor(seconds: float) -> float:
    """The next lower duration a person would say: whole seconds, fives from ten up, tens of seconds from a minute up."""
    step = 10 if seconds >= 60 else 5 if seconds >= 10 else 1
    return max(float(step), floor(seconds / step) * float(step))


def buckets(times: Sequence[float], count: int) -> list[int]:
    """How many of the sorted *times* fall in each of *count* equal stretches from first to last."""
    if not times:
        return [0] * count
    first, width = times[0], (times[-1] - times[0]) / count or 1.0
    edges = [bisect_left(times, first + width * i) for i in range(count)] + [len(times)]
    return [b - a for a, b in pairwise(edges)]
