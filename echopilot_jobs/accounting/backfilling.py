"""Which slots of a stretch of the past a backfill would run, and what became of each before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from echopilot_jobs.accounting.owed import ANY, Owed, moment_of, moments_of, owed_by, seconds_from, seconds_of
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import EchoPilotError, WrongState
from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger import Ledger
from echopilot_jobs.records import record
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.spans import stamp
from echopilot_jobs.triggers import Every, Trigger

MOST = 1_000
COUNTED_MOST = 100_000

_Piece = tuple[Trigger, int, int]  # the moments of this rule from this second to that


class TooMany(EchoPilotError):
    """More slots than one backfill may queue."""


@record(frozen=True)
class Choice:
    """One slot of the stretch. *run_id* and *state*: the run it has already, so that it is left alone.

    *skipped*: why it had none. Without either nothing is recorded of it: the job was not defined then.
    """

    slot: Slot
    run_id: int | None = None
    state: str | None = None
    skipped: SkipReason | None = None

    @property
    def is_queued(self) -> bool:
        """Whether the backfill queues a run for it."""
        return self.run_id is None

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "slot_at": iso(self.slot.due_at),
            "queue": self.is_queued,
            "run": self.run_id,
            "state": self.state,
            "skipped": self.skipped.value if self.skipped else None,
        }


def choices(ledger: Ledger, job: Job, start: datetime, end: datetime) -> list[Choice]:
    """The slots of *job* in [*start*, *end*], oldest first, by the definitions in force at each time.

    Where none was, as before the job was registered, the present one counts. Raises `TooMany` above a thousand, and
    `WrongState` when the scheduler has not yet decided about one of them.
    """
    owed, first, last = owed_by(ledger, job.name), seconds_from(start), seconds_of(end)
    pieces = list(_pieces(owed, job.trigger, first, last))
    found = _moments(job, pieces)
    pruned = ledger.pruned_before()
    if found and pruned is not None and moment_of(found[0]) < pruned:
        raise WrongState(f"history before {stamp(pruned)} was removed, so nobody can say what ran then; begin after it")
    through = ledger.planned_through().get(job.name)
    if open_slot := next((due for due in map(moment_of, found) if through is None or due > through), None):
        raise WrongState(
            f"the slot of {stamp(open_slot)} is not planned yet, and a scheduler decides about it first; "
            "end before it, or try again once it is planned"
        )
    rows = ledger.dispositions(job.name, moment_of(first), moment_of(last + 1))
    runs = {row[0]: row for row in reversed(rows.runs)}
    skips = {row[0]: row[2] for row in rows.skips}
    present = ledger.generation().number
    slots = (Slot(job.name, moment_of(at), _generation(owed, at, present)) for at in found)
    return [_choice(slot, runs.get(slot.epoch_seconds), skips.get(slot.epoch_seconds), rows.gaps) for slot in slots]


def _moments(job: Job, pieces: Sequence[_Piece]) -> list[int]:
    counts = [_counted(*piece) for piece in pieces]
    if sum(counts) <= COUNTED_MOST:
        found = sorted({moment for piece in pieces for moment in moments_of(*piece)})
        if len(found) <= MOST:
            return found
        about = f"{len(found):,}"
    else:
        exact = all(isinstance(trigger, Every) for trigger, _, _ in pieces)
        about = f"{sum(counts):,}" if exact else f"more than {COUNTED_MOST:,}"
    raise TooMany(f"'{job.name}' has {about} slots there; a backfill takes at most {MOST:,}: choose less time")


def _pieces(owed: Owed, present: Trigger, first: int, last: int) -> Iterator[_Piece]:
    """What was in force from *first* to *last*, and *present* where nothing known was."""
    parts = sorted(
        ((max(part.first, first), min(part.last, last), part.trigger) for s in owed.strands for part in s.stretches),
        key=lambda part: part[:2],
    )
    at = first
    for low, high, trigger in parts:
        if low > high:
            continue
        if at < low:
            yield present, at, low - 1
        yield trigger, low, high
        at = max(at, high + 1)
    if at <= last:
        yield present, at, last


def _counted(trigger: Trigger, first: int, last: int) -> int:
    """How many moments a piece has, but not beyond `COUNTED_MOST`: nobody has to wait for a number that is too large."""
    if isinstance(trigger, Every):
        return len(moments_of(trigger, first, last))
    count, end = 0, moment_of(last)
    for due in islice(trigger.after(moment_of(first - 1)), COUNTED_MOST + 1):
        if due > end:
            break
        count += 1
    return count


def _generation(owed: Owed, moment: int, present: int) -> int:
    keys = [strand.key for strand in owed.strands if strand.key is not ANY and strand.has(moment)]
    return max((key for key in keys if key is not None), default=present)


def _choice(
    slot: Slot,
    run: tuple[int, int, int, str, str, int] | None,
    skipped: str | None,
    gaps: Sequence[tuple[int, int, int, int, str]],
) -> Choice:
    if run is not None:
        return Choice(slot, run[2], run[3])
    at = slot.epoch_seconds
    reason = skipped or next((reason for first, last, _, _, reason in gaps if first <= at <= last), None)
    return Choice(slot, skipped=SkipReason(reason) if reason else None)
