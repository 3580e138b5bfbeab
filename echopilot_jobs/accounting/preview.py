"""The next slots of a job, worked out by the functions the scheduler plans with (I31)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from echopilot_jobs.clock import iso
from echopilot_jobs.holds import Pause
from echopilot_jobs.jobs import Job, planned_at
from echopilot_jobs.records import record
from echopilot_jobs.slots import Slot
from echopilot_jobs.triggers import Trigger
from echopilot_jobs.triggers.dst import DstNote, dst_notes

MOST = 1_000
PAUSED_WORDS = "paused, so it will not run"
FOLD_MOST = timedelta(days=1)  # the first copy of a repeated time comes before the jump that repeats it


@record(frozen=True)
class Coming:
    """One slot to come. *planned*: when it is to be claimed, jitter included. *note*: what a jump of the clock does to it.

    *paused*: as things stand it will pass unrun.
    """

    slot: Slot
    planned: datetime
    note: str = ""
    paused: bool = False

    def as_dict(self, zone: str | None = None) -> dict[str, Any]:
        """JSON types only; with *zone* also the time on its wall."""
        facts: dict[str, Any] = {"slot_at": iso(self.slot.due_at), "planned_at": iso(self.planned)}
        if zone is not None:
            facts["local"] = self.slot.due_at.astimezone(ZoneInfo(zone)).isoformat()
        return {**facts, "note": self.note or None, "paused": self.paused}


def coming(
    job: Job, after: datetime, count: int = MOST, *, until: datetime | None = None, pauses: Sequence[Pause] = ()
) -> list[Coming]:
    """At most *count* slots of *job* strictly later than *after* and up to *until*; none of a disabled job.

    *pauses* are those of this job: slots inside one pass unrun.
    """
    if not job.enabled:
        return []
    dues = list(islice(_up_to(until, job.trigger.after(after)), count))
    notes = notes_at(job.trigger, after, dues[-1]) if dues else {}
    found = []
    for slot in (Slot(job.name, due) for due in dues):
        paused = any(pause.covers(slot.due_at) for pause in pauses)
        found.append(Coming(slot, planned_at(job, slot), notes.get(slot.due_at, ""), paused))
    return found


def _up_to(until: datetime | None, dues: Iterator[datetime]) -> Iterator[datetime]:
    for due in dues:
        if until is not None and due > until:
            return
        yield due


def notes_at(trigger: Trigger, after: datetime, until: datetime) -> dict[datetime, str]:
    """By moment in (*after*, *until*], what a jump of the clock does to it."""
    notes = dst_notes(trigger, after, until + FOLD_MOST)
    return {note.at: note_words(note) for note in notes if note.at is not None and after < note.at <= until}


def note_words(note: DstNote) -> str:
    """A jump of the clock in few words: the time the rule names, and what becomes of it."""
    words = {
        "moved": "does not exist that day; it runs right after the jump",
        "first_copy": "comes twice that day; the first one runs",
        "left_out": "does not exist that day; nothing runs",
        "both_copies": "comes twice that day; both run",
    }
    return f"{f'{note.wall:%H:%M:%S}'.removesuffix(':00')} {note.zone} {words[note.effect]}"
