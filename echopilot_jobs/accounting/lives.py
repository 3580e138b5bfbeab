"""When a scheduler lived and when none did, piece by piece, and what the ledger holds of why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from echopilot_jobs.records import record

if TYPE_CHECKING:
    from echopilot_jobs.ledger import Ledger, SqliteReading
    from echopilot_jobs.outages import Outage
    from echopilot_jobs.runs import Stint

# A restart takes a few seconds and costs nothing; only longer stretches are worth a person's eye.
RESTART = timedelta(seconds=30)


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


def strip(ledger: Ledger | SqliteReading, start: datetime, end: datetime) -> Strip:
    """When a scheduler lived between *start* and *end*."""
    stints = ledger.stints_between(start, end)
    known_from = min((seen for seen in ledger.first_seen().values()), default=end)
    return Strip(start, end, tuple(_pieces(stints, known_from, start, end)))


def newest_outage(ledger: Ledger | SqliteReading, day: Strip) -> Outage | None:
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
