"""The last day as a person asks about it: when a scheduler lived, and which slots got no run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from echopilot_jobs.ledger import Ledger
from echopilot_jobs.outages import IN_WORDS, Cause, Outage
from echopilot_jobs.records import record
from echopilot_jobs.runs import Stint
from echopilot_jobs.slots import Gap, Skip, SkipReason

# A restart takes a few seconds and costs nothing; only longer stretches are worth a person's eye.
RESTART = timedelta(seconds=30)
# Slots of a minute's job skipped one by one belong together; those of different outages do not.
SAME_STRETCH = timedelta(minutes=10)


@record(frozen=True)
class Missed:
    """Slots of one job that got no run for one reason, from *first* to *last*."""

    job_name: str
    reason: SkipReason
    first: datetime
    last: datetime
    count: int
    cause: str = ""
    outage: Outage | None = None


@record(frozen=True)
class Piece:
    """A stretch of a strip: *kind* is `up`, `dark` or `before` (no scheduler had ever run here yet)."""

    kind: str
    start: datetime
    end: datetime


@record(frozen=True)
class Strip:
    """From *start* to *end*, piece by piece without a hole."""

    start: datetime
    end: datetime
    pieces: tuple[Piece, ...]

    @property
    def dark(self) -> timedelta:
        """How long no scheduler lived."""
        return sum((piece.end - piece.start for piece in self.darks), timedelta(0))

    @property
    def up(self) -> timedelta:
        """How long one did."""
        return sum((piece.end - piece.start for piece in self.pieces if piece.kind == "up"), timedelta(0))

    @property
    def darks(self) -> list[Piece]:
        """The stretches without one, oldest first."""
        return [piece for piece in self.pieces if piece.kind == "dark"]

    @property
    def known_from(self) -> datetime | None:
        """The ledger's first moment, where that lies within; None for one that is older."""
        return next((piece.end for piece in self.pieces if piece.kind == "before"), None)

    def place(self, piece: Piece, width: int) -> tuple[float, float]:
        """Where *piece* begins and how wide it is when the strip is *width* wide; never too thin to see."""
        whole = (self.end - self.start) / timedelta(seconds=1)
        left = (piece.start - self.start) / timedelta(seconds=1) / whole * width
        wide = (piece.end - piece.start) / timedelta(seconds=1) / whole * width
        return round(left, 2), round(max(wide, 2.0 if piece.kind == "dark" else 0.1), 2)


def strip(ledger: Ledger, start: datetime, end: datetime) -> Strip:
    """When a scheduler lived between *start* and *end*."""
    stints = ledger.stints_between(start, end)
    known_from = min((seen for seen in ledger.first_seen().values()), default=end)
    return Strip(start, end, tuple(_pieces(stints, known_from, start, end)))


def newest_outage(ledger: Ledger, day: Strip) -> Outage | None:
    """What the ledger holds of the newest dark stretch of *day*; None where that is nothing, as while it goes on."""
    outages = ledger.outages_between(day.start, day.end)
    return _outage_in(day.darks[-1], outages) if day.darks else None


def _outage_in(piece: Piece, outages: Sequence[Outage]) -> Outage | None:
    found = (outage for outage in outages if outage.since < piece.end and piece.start < outage.until)
    # A life before or after the stretch may have had a short silence of its own at the edge of it.
    return max(found, key=lambda each: min(each.until, piece.end) - max(each.since, piece.start), default=None)


def _pieces(stints: Sequence[Stint], known_from: datetime, start: datetime, end: datetime) -> Iterator[Piece]:
    at = start
    if known_from > start:
        at = min(known_from, end)
        yield Piece("before", start, at)
    for stint in sorted(stints, key=lambda one: one.started_at):
        began, ended = max(stint.started_at, at), min(_end_of(stint, end), end)
        if ended <= at:
            continue
        if began - at > RESTART:
            yield Piece("dark", at, began)
            at = began
        yield Piece("up", at, ended)
        at = ended
    if end > at:
        yield Piece("dark" if end - at > RESTART else "up", at, end)


def _end_of(stint: Stint, now: datetime) -> datetime:
    """Until when it is known to have lived: a beat that is fresh enough counts as now."""
    if stint.ended_at is not None:
        return stint.ended_at
    return now if now - stint.beat_at <= RESTART else stint.beat_at


def missed(ledger: Ledger, start: datetime, end: datetime) -> list[Missed]:
    """Slots without a run between *start* and *end*, neighbours joined, newest first."""
    found = [*_joined(ledger.skips_between(start, end)), *map(_of_gap, ledger.gaps_between(start, end))]
    return sorted(found, key=lambda item: item.last, reverse=True)


def _joined(skips: Sequence[Skip]) -> Iterator[Missed]:
    held: dict[tuple[str, SkipReason, Outage | None], Missed] = {}
    for skip in skips:  # oldest first
        key, due = (skip.slot.job_name, skip.reason, skip.outage), skip.slot.due_at
        if (before := held.get(key)) and (skip.outage or due - before.last <= SAME_STRETCH):
            held[key] = replace(before, last=due, count=before.count + 1)
            continue
        if before:
            yield before
        held[key] = Missed(skip.slot.job_name, skip.reason, due, due, 1, _cause(skip.outage), skip.outage)
    yield from held.values()


def _of_gap(gap: Gap) -> Missed:
    return Missed(gap.job_name, gap.reason, gap.first, gap.last, gap.count, _cause(gap), gap.outage)


def _cause(missed_in: Gap | Outage | None) -> str:
    """Why nobody ran them, in words; nothing where that is not known or says no more than the reason."""
    cause = Cause.UNKNOWN if missed_in is None else missed_in.cause
    return "" if cause in (Cause.UNKNOWN, Cause.PAUSED) else IN_WORDS[cause]
