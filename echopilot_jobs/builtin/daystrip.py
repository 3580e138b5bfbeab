"""A job's day as a strip of 24 hours: marks for a drawing 1440 wide, one unit a minute, and 24 high.

Colour never speaks alone: what ended badly stands tallest, what was skipped hangs low, and each mark has its words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from echopilot_jobs.records import record
from echopilot_jobs.reporting import DayReport, JobDay
from echopilot_jobs.runs import BAD_ENDS
from echopilot_jobs.slots import SkipReason

MINUTES, HEIGHT = 1440, 24
BIN = timedelta(minutes=5)
NARROWEST = 9.0  # two pixels on a phone
PLACES = {  # top and height of each kind of mark
    "bad": (0.0, 24.0),
    "missing": (0.0, 24.0),
    "skipped": (16.0, 8.0),
    "open": (6.0, 12.0),
    "ran": (6.0, 12.0),
    "asked": (0.0, 5.0),
    "dark": (0.0, 24.0),
    "unknown": (0.0, 24.0),
}
GRAVEST_FIRST = ("bad", "missing", "skipped", "open", "ran")


@record(frozen=True)
class Mark:
    """One rectangle with its kind, which is its style, and its words."""

    kind: str
    x: float
    width: float
    words: str

    @property
    def y(self) -> float:
        """Its top."""
        return PLACES[self.kind][0]

    @property
    def height(self) -> float:
        """Its height."""
        return PLACES[self.kind][1]


def background(report: DayReport) -> list[Mark]:
    """What lies under every job's strip: the stretches nobody knows of, and those without a scheduler."""
    period = report.period
    if not period.is_known:
        return [_stretch("unknown", period.start, period.end, report, "before the ledger began")]
    marks = []
    if period.known_from > period.start:
        marks.append(_stretch("unknown", period.start, period.known_from, report, "before the ledger began"))
    marks += [_stretch("dark", since, until, report, "no scheduler") for since, until in report.dark]
    if period.known_until < period.end:
        marks.append(_stretch("unknown", period.known_until, period.end, report, "not over yet"))
    return marks


def strip(job: JobDay, report: DayReport) -> list[Mark]:
    """The job's slots, several in one mark where they lie close and are alike, then the runs somebody asked for."""
    start = report.period.start
    kinds = sorted(_kinds(job))
    asked = [run.started_at for run in job.runs if run.started_at and (run.slot is None)]
    marks = [_group(kind, moments, start) for kind, moments in _grouped(kinds, start)]
    return marks + [_group("asked", [moment], start) for moment in asked if start <= moment < report.period.end]


def _kinds(job: JobDay) -> Iterator[tuple[datetime, str]]:
    """Every planned slot with the kind of its mark; one that has only just come due has none yet."""
    bad = {run.slot.due_at for run in job.runs if run.slot and run.state in BAD_ENDS}
    for due, fate in job.fate.items():
        if due in bad:
            yield due, "bad"
        elif fate in ("ran", "open", "missing"):
            yield due, fate
        elif fate == "cancelled" or fate in set(SkipReason):
            yield due, "skipped"


def _grouped(kinds: Iterable[tuple[datetime, str]], start: datetime) -> Iterator[tuple[str, list[datetime]]]:
    """Neighbouring bins with the same gravest kind become one group; the group holds the slots of that kind."""
    bins: dict[int, list[tuple[datetime, str]]] = {}
    for due, kind in kinds:
        bins.setdefault((due - start) // BIN, []).append((due, kind))
    last_bin, last_kind, group = -2, "", []
    for number, slots in bins.items():
        kind = min((kind for _, kind in slots), key=GRAVEST_FIRST.index)
        moments = [due for due, each in slots if each == kind]
        if number == last_bin + 1 and kind == last_kind:
            group += moments
        else:
            if group:
                yield last_kind, group
            group = moments
        last_bin, last_kind = number, kind
    if group:
        yield last_kind, group


def _group(kind: str, moments: list[datetime], start: datetime) -> Mark:
    first, last = _minute(moments[0], start), _minute(moments[-1], start)
    # A group covers its bins; a single slot is a mark just wide enough to be seen.
    width = last - first + BIN / timedelta(minutes=1) if len(moments) > 1 else NARROWEST
    return _mark(kind, first, width, _words(kind, moments))


def _stretch(kind: str, since: datetime, until: datetime, report: DayReport, words: str) -> Mark:
    start = report.period.start
    x = _minute(since, start)
    width = _minute(until, start) - x
    return _mark(kind, x, width, f"{words}: {since:%H:%M} to {until:%H:%M}")


def _mark(kind: str, x: float, width: float, words: str) -> Mark:
    wide = min(max(width, 2.0), MINUTES)
    return Mark(kind, round(min(max(x, 0.0), MINUTES - wide), 1), round(wide, 1), words)


def _words(kind: str, moments: list[datetime]) -> str:
    said = {"bad": "ended badly", "asked": "run by hand or at start-up"}.get(kind, kind)
    if len(moments) == 1:
        return f"{said} at {moments[0]:%H:%M:%S}"
    return f"{len(moments)} {said}, {moments[0]:%H:%M} to {moments[-1]:%H:%M}"


def _minute(moment: datetime, start: datetime) -> float:
    return (moment - start) / timedelta(minutes=1)
