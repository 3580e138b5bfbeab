"""Rules about measurements: the limit behind the trouble, stand-in values, shifts of level, shares near their end."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from statistics import median

from echopilot_jobs.records import record
from echopilot_jobs.signals.fields import Verdict
from echopilot_jobs.signals.findings import Finding, Severity, figure, percent, quoted
from echopilot_jobs.signals.moments import minute
from echopilot_jobs.signals.reading import Signal
from echopilot_jobs.signals.table import Numbers

CHANCE = 1e-4  # how unlikely it must be that the trouble sits at the end of the scale by accident
FITS = 0.98  # of the records beyond a limit that are trouble
_WORSE_UP = re.compile(
    r"latenc|lag|delay|error|fail|cpu|mem|disk|load|queue|retr|drop|timeout|duration|elapsed|wait|burn|used"
)
_LEFT = re.compile(r"remaining|free|left|avail|headroom|battery")
_USED = re.compile(r"used|usage|util|cpu|mem|disk|swap|full|consumed")
_SHARE = re.compile(r"percent|pct|_perc$|%")
_FAULTS = re.compile(r"(fail|error|drop|lost|reject|timeout|crash|restart)")


@record(frozen=True)
class Limit:
    """A field whose values beyond a bound go with trouble. `rows` are the troubled rows beyond it."""

    field: str
    upper: bool  # trouble lies above, not below
    edge: float  # the troubled value nearest to the others
    other: float  # the nearest value of the others
    rows: frozenset[int]
    exceptions: int  # other records beyond the edge
    stand_in: float | None  # a value such as 999 that is no measurement

    @property
    def bound(self) -> float:
        """The plainest number between the two."""
        return plainest(min(self.edge, self.other), max(self.edge, self.other))


def troubled(signal: Signal) -> tuple[frozenset[int], str]:
    """The rows in trouble and the word for them; warnings stand in where there are no errors."""
    verdicts = signal.table.verdicts
    for least, word in ((Verdict.ERROR, "bad"), (Verdict.WARNING, "warning")):
        rows = frozenset(i for i, v in enumerate(verdicts) if v >= least)
        if rows:
            only = {verdicts[i] for i in rows}
            return rows, "critical" if only == {Verdict.CRITICAL} else "failed" if only == {Verdict.ERROR} else word
    return frozenset(), ""


def limits(signal: Signal) -> list[Limit]:
    """The limits behind the trouble, the one that explains most first; each row counts for the first that explains it."""
    bad, _ = troubled(signal)
    if len(bad) < 5 or len(signal.table) - len(bad) < 20:
        return []
    candidates = [
        limit
        for name, column in signal.table.numbers.items()
        for upper in (True, False)
        if (limit := _limit(name, column, bad, upper)) is not None
    ]
    chosen: list[Limit] = []
    covered: frozenset[int] = frozenset()
    for limit in sorted(candidates, key=lambda found: (-len(found.rows), found.field)):
        if len(limit.rows - covered) >= max(3, len(limit.rows) // 2):
            chosen.append(limit)
            covered |= limit.rows
    return chosen[:4]


def _limit(name: str, column: Numbers, bad: frozenset[int], upper: bool) -> Limit | None:
    """The widest end of the scale of which nearly all is trouble, if chance does not explain it."""
    order = sorted(range(len(column.rows)), key=lambda i: column.values[i], reverse=upper)
    inside = sum(column.rows[i] in bad for i in order)
    if inside < 5 or len(order) - inside < 20:
        return None
    hits = best = 0
    for place, i in enumerate(order, 1):
        hits += column.rows[i] in bad
        if column.rows[i] in bad and hits >= FITS * place:
            best = place
    beyond = order[:best]
    rows = frozenset(column.rows[i] for i in beyond if column.rows[i] in bad)
    if len(rows) < 5 or len(rows) * math.log(inside / len(order)) > math.log(CHANCE):
        return None
    edge = column.values[beyond[-1]]
    rest = [column.values[i] for i in order[best:] if column.rows[i] not in bad]
    # A tie with a good record is no limit.
    if not rest or (rest[0] >= edge if upper else rest[0] <= edge):
        return None
    stand_in = _stand_in([column.values[i] for i in beyond], rest, upper)
    return Limit(name, upper, edge, rest[0], rows, best - len(rows), stand_in)


def _stand_in(beyond: Sequence[float], rest: Sequence[float], upper: bool) -> float | None:
    """The value that is written when there is nothing to measure: repeated, and far outside every real one."""
    value, times = Counter(beyond).most_common(1)[0]
    far = value > 10 * max(abs(rest[0]), 1e-9) if upper else value < 0 <= min(rest)
    return value if times >= 3 and times * 10 >= 9 * len(beyond) and far else None


def plainest(low: float, high: float) -> float:
    """The number in (*low*, *high*] that a person would have chosen as a limit."""
    size = max(abs(low), abs(high), 1e-9)
    for power in range(math.ceil(math.log10(size)), -12, -1):
        for step in (10.0**power, 5 * 10.0 ** (power - 1), 2.5 * 10.0 ** (power - 1)):
            value = (math.floor(low / step) + 1) * step
            if low < value <= high:
                return round(value, 12)
    return high


def limit_sentences(signal: Signal, found: Sequence[Limit]) -> list[str]:
    """What each limit explains, and all of them together."""
    bad, word = troubled(signal)
    sentences = [_limit_sentence(limit, len(bad), word) for limit in found]
    if len(found) > 1:
        together = len(frozenset[int]().union(*(limit.rows for limit in found)))
        sentences.append(f"together these explain {together:,} of {len(bad):,} {word} records")
    return sentences


def _limit_sentence(limit: Limit, total: int, word: str) -> str:
    name, explained = quoted(limit.field, 60), f"{len(limit.rows):,} of {total:,} {word} records"
    if limit.stand_in is not None:
        return (
            f"{name} is {figure(limit.stand_in)} in {explained} and {'at most' if limit.upper else 'at least'} "
            f"{figure(limit.other)} in the others: {figure(limit.stand_in)} stands for no answer"
        )
    side, beyond = ("up", "above") if limit.upper else ("down", "below")
    others = f"no other record is {beyond} {figure(limit.other)}"
    if limit.exceptions:
        others = f"{limit.exceptions:,} other records lie there too"
    return f"{name} from {figure(limit.edge)} {side} goes with {explained}; {others}: {_bound(limit)}"


def _bound(limit: Limit) -> str:
    low, high = sorted((limit.edge, limit.other))
    if high - low <= 0.02 * max(abs(low), abs(high)):
        return f"the limit is about {figure(limit.bound)}"
    return f"the limit lies between {figure(low)} and {figure(high)}, {figure(limit.bound)} would fit"


def limit_findings(signal: Signal, found: Sequence[Limit]) -> list[Finding]:
    """The limits as a finding of their own, with where the newest values stand."""
    real = [limit for limit in found if limit.stand_in is None]
    if not real:
        return []
    bad, word = troubled(signal)
    first = real[0]
    over = [limit for limit in real if _beyond(limit, signal.table.numbers[limit.field].values[-1])]
    now = tuple(
        f"the newest {quoted(limit.field, 60)} is {figure(signal.table.numbers[limit.field].values[-1])}, beyond the limit"
        for limit in over
    )
    named = ", ".join(_named(limit, len(bad)) for limit in real)
    return [
        Finding(
            "limit",
            Severity.HIGH if over else Severity.MEDIUM,
            signal.name,
            f"{signal.name}: the {word} records go with {named}",
            (*limit_sentences(signal, found), *now),
            f"bring {_fields(real)} back within bounds, or move the limit if it is too tight",
            weight=len(first.rows) / len(bad),
        )
    ]


def _named(limit: Limit, total: int) -> str:
    side = "from" if limit.upper else "up to"
    return f"{quoted(limit.field, 60)} {side} about {figure(limit.bound)} ({len(limit.rows):,} of {total:,})"


def _fields(found: Sequence[Limit]) -> str:
    return ", ".join(quoted(limit.field, 60) for limit in found)


def _beyond(limit: Limit, value: float) -> bool:
    return value >= limit.edge if limit.upper else value <= limit.edge


@record(frozen=True)
class Shift:
    """A lasting change of level: medians before and from the moment (or row) on."""

    field: str
    before: float
    after: float
    counts: tuple[int, int]
    at: float  # NaN where the records have no time
    clarity: float


def shifts(signal: Signal, found: Sequence[Limit] = ()) -> list[Finding]:
    """The two clearest shifts of level."""
    stand_ins = {limit.field: limit.stand_in for limit in found}
    times = signal.table.times()
    seen = [_shift(name, series(column, times, stand_ins.get(name))) for name, column in signal.table.numbers.items()]
    clear = sorted((shift for shift in seen if shift), key=lambda shift: -shift.clarity)
    apart = {shift.at if not math.isnan(shift.at) else shift.field: shift for shift in reversed(clear)}
    return [_shift_finding(signal, shift) for shift in clear if shift in apart.values()][:2]


def series(column: Numbers, times: Sequence[float], stand_in: float | None = None) -> list[tuple[float, float]]:
    """(moment, value) by time, or (NaN, value) by row where most have no time, without the stand-in value."""
    points = [(times[row], value) for row, value in zip(column.rows, column.values, strict=True) if value != stand_in]
    timed = [point for point in points if not math.isnan(point[0])]
    return sorted(timed) if len(timed) * 2 >= len(points) else [(math.nan, value) for _, value in points]


def is_counter(values: Sequence[float]) -> bool:
    """Whether the values only ever grow, apart from resets: a count so far, not a level."""
    steps = [b - a for a, b in pairwise(values)]
    return (
        len(steps) >= 10
        and sum(s >= 0 for s in steps) >= 0.97 * len(steps)
        and sum(s > 0 for s in steps) >= 0.5 * len(steps)
    )


def _shift(name: str, points: list[tuple[float, float]]) -> Shift | None:
    values = [value for _, value in points]
    if len(values) < 40 or is_counter(values):
        return None
    size = max(1, len(values) // 60)
    pieces = [median(values[i : i + size]) for i in range(0, len(values), size)]
    cut = _cut(values, pieces, size)
    before, after = median(values[:cut]), median(values[cut:])
    change = abs(after - before)
    noise = median(abs(b - a) for a, b in pairwise(pieces))
    spread = max(noise, _spread(values[:cut], before), _spread(values[cut:], after), 1e-12)
    if change < 0.2 * max(abs(before), abs(after)) or change < 3 * spread:
        return None
    return Shift(name, before, after, (cut, len(values) - cut), points[cut][0], min(change / spread, 1e6))


def _cut(values: Sequence[float], pieces: Sequence[float], size: int) -> int:
    """Where two levels fit the values best, at least a sixth from either end: first by pieces, then to the value."""
    least = max(2, len(pieces) // 6)
    splits = range(least, len(pieces) - least + 1)
    k = min(splits, key=lambda k: _misfit(pieces[:k]) + _misfit(pieces[k:]))
    low, high = median(pieces[:k]), median(pieces[k:])
    first, last = max(1, (k - 1) * size), min(len(values) - 1, (k + 1) * size)
    # From here to there, how much worse each value fits the level before than the one after, summed up.
    worse = accumulate((abs(v - low) - abs(v - high) for v in values[first:last]), initial=0.0)
    return first + min(enumerate(worse), key=lambda each: each[1])[0]


def _misfit(values: Sequence[float]) -> float:
    middle = median(values)
    return sum(abs(value - middle) for value in values)


def _spread(values: Sequence[float], middle: float) -> float:
    return median(abs(value - middle) for value in values)


def _shift_finding(signal: Signal, shift: Shift) -> Finding:
    name = quoted(shift.field, 60)
    when = "" if math.isnan(shift.at) else f" at {minute(shift.at)}"
    worse = shift.after > shift.before and bool(_WORSE_UP.search(shift.field.lower()))
    way = "rose" if shift.after > shift.before else "fell"
    return Finding(
        "level_shift",
        Severity.MEDIUM if worse else Severity.LOW,
        signal.name,
        f"{signal.name}: {name} {way} from about {figure(shift.before)} to {figure(shift.after)}{when}",
        (
            f"the median of {name} is {figure(shift.before)} in the {shift.counts[0]:,} records before"
            f"{when.replace(' at ', ' ')} and {figure(shift.after)} in the {shift.counts[1]:,} since",
        ),
        f"find out what changed{when}, and whether the new level of {name} is meant",
        weight=min(1.0, shift.clarity / 50),
    )


def ends_of_scale(signal: Signal) -> list[Finding]:
    """Shares that are nearly used up, and counted faults that are not zero."""
    times = signal.table.times()
    found = []
    for name, column in signal.table.numbers.items():
        points = series(column, times)
        lowered = name.lower()
        if _SHARE.search(lowered) and (_LEFT.search(lowered) or _USED.search(lowered)):
            found += _share(signal, name, points)
        elif _FAULTS.search(lowered) and not _LEFT.search(lowered) and not _SHARE.search(lowered):
            found += _faults(signal, name, [value for _, value in points])
    return found


def _share(signal: Signal, name: str, points: list[tuple[float, float]]) -> list[Finding]:
    left = bool(_LEFT.search(name.lower()))
    latest = [value for _, value in points[-3:]]  # one spike is not where it stands
    newest = latest[-1]
    if not (max(latest) <= 5 if left else min(latest) >= 90):
        return []
    since = (
        next((i for i in range(len(points) - 1, -1, -1) if (points[i][1] > 5 if left else points[i][1] < 90)), -1) + 1
    )
    at = points[since][0]
    when = "" if math.isnan(at) else f", beyond that mark since {minute(at)}"
    ended = newest <= 0 if left else newest >= 100
    return [
        Finding(
            "near_its_end",
            Severity.HIGH if ended else Severity.MEDIUM,
            signal.name,
            f"{signal.name}: {quoted(name, 60)} stands at {figure(newest)} %",
            (
                f"the newest of {len(points):,} values is {figure(newest)} ({'5 or less' if left else '90 or more'} is near "
                f"the end){when}",
            ),
            f"see to {quoted(name, 60)}: free some of it, add more, or slow down what uses it",
            weight=0.9 if ended else 0.5,
        )
    ]


def _faults(signal: Signal, name: str, values: Sequence[float]) -> list[Finding]:
    above = sum(value > 0 for value in values)
    if not above or is_counter(values) or min(values) < 0:
        return []
    return [
        Finding(
            "faults_counted",
            Severity.MEDIUM if above * 20 >= len(values) else Severity.LOW,
            signal.name,
            f"{signal.name}: {quoted(name, 60)} is above 0 in {above:,} of {len(values):,} records",
            (
                f"above 0 in {above:,} of {len(values):,} records ({percent(above, len(values))})",
                f"the greatest value is {figure(max(values))}",
            ),
            f"look at the records where {quoted(name, 60)} is highest",
            weight=above / len(values),
        )
    ]
