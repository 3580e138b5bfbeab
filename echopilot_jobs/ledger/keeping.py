"""What has to be seen to before a scheduler opens its ledger: interrupted moves, rescued copies, damage, continuity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.backup import drop_unfinished
from echopilot_jobs.ledger.identity import Continuity, LedgerMark, continuity, read_mark
from echopilot_jobs.ledger.inspection import (
    Condition,
    Depth,
    Health,
    Inspection,
    acquit,
    has_log,
    inspect,
    inspect_suspected,
    is_condemned,
    is_suspect,
)
from echopilot_jobs.ledger.permits import unwritable, widen
from echopilot_jobs.ledger.swap import part, set_aside, settle
from echopilot_jobs.ledger.users import users_apart, users_of
from echopilot_jobs.ledger.watch import adopt_rescued
from echopilot_jobs.records import record

# The quick check of a million runs ends within the first from memory; a cold disk takes longer. The full check, of all but
# small ledgers, ends beside the work.
WAIT_SECONDS = 1.0
WAIT_FOR_FULL_SECONDS = 0.1


@record(frozen=True)
class Note:
    """Something that was found and done: an event's name and a sentence for a person."""

    event: str
    sentence: str


ToldSince = Callable[[datetime | None], int]


@record(frozen=True)
class Readiness:
    """How the ledger's path was left: what lies there, how it relates to the one known, what was done.

    *known_runs*: the highest run number that the mark, or what was lost, tells of; 0 where neither does.
    *check* is the thorough check still under way, None when it is done: `Inspection.wait()` tells its end.
    """

    health: Health
    continuity: Continuity
    mark: LedgerMark | None
    notes: tuple[Note, ...]
    known_runs: int = 0
    check: Inspection | None = None


def make_ready(
    path: Path, now: datetime, *, wait_seconds: float | None = WAIT_SECONDS, told_since: ToldSince = lambda _moment: 0
) -> Readiness:
    """Put the ledger's files in order and say what stands there. To be called before it is opened, by the one who may lead.

    *told_since* a moment (None: ever): the highest run number the log has named from then on, 0 for none.

    Damaged files are set aside, never overwritten; afterwards there is a sound ledger at *path*, or none. Raises
    `LedgerTooNew`, and `LedgerUnavailable` for what must not be touched: a file that is no ledger, or cannot be read.
    """
    notes = [*_permitted(path), *_settled(path)]
    mark = read_mark(path)
    notes += _put_back(path, mark, now)
    health, check = _examined(path, mark, wait_seconds)
    lost = health.identity
    if health.condition is Condition.STALE_WAL:
        notes.append(_parted(path, now, health.sentence))
        health = inspect(path)
    if health.condition is Condition.DAMAGED and (kept := set_aside(path, now)):
        notes.append(Note("ledger.set_aside", f"{health.sentence}; it is kept as '{kept.name}'"))
        health = inspect(path)
    told = told_since(mark.written_at) if mark else 0
    judged = continuity(path, mark, health.identity, told)
    if judged.needs_a_person and _is_used(path, mark):
        if check is not None:
            check.stop()
        notes.append(_parted(path, now, f"an older copy was laid over '{path.name}' in use"))
        health, check = inspect(path, Depth.FULL), None
        judged = continuity(path, mark, health.identity, told)
    if check is None:
        acquit(path)
    if not health.can_begin:
        raise health.error()
    known = max(mark.last_run if mark else 0, lost.last_run if lost and judged.begins_empty else 0)
    return Readiness(health, judged, mark, tuple(notes), known, check)


def _permitted(path: Path) -> Iterator[Note]:
    """SQLite would open what it may only read, and fail at the first write without a name (F23)."""
    with suppress(OSError):  # what stays closed is told
        for file in widen(path):
            yield Note(
                "ledger.opened_up", f"'{file.name}' had been closed to its own account and has the ledger's mode now"
            )
    if closed := unwritable(path):
        raise LedgerUnavailable(closed)


def _settled(path: Path) -> Iterator[Note]:
    """What an earlier life left half done is finished or dropped."""
    if settle(path):
        yield Note("ledger.settled", f"an exchange of '{path.name}' that had been cut short was finished")
    drop_unfinished(path)


def _put_back(path: Path, mark: LedgerMark | None, now: datetime) -> Iterator[Note]:
    """The ledger's own file in its place, and nobody who would write another log into it."""
    if adopted := adopt_rescued(path, mark, now):
        yield Note("ledger.adopted", f"'{adopted.name}', rescued from a deleted ledger, is '{path.name}' again")
    elif apart := users_apart(path):
        said = f"pid {apart[0]} has '{path.name}' open with a write-ahead log or index that was deleted or moved"
        yield _parted(path, now, said, with_log=has_log(path) and inspect(path, Depth.FULL).is_sound)


def _parted(path: Path, now: datetime, why: str, *, with_log: bool = False) -> Note:
    kept = part(path, now, with_log=with_log)
    return Note("ledger.set_aside", f"{why}; that file and log are kept as '{kept.name}', a copy is '{path.name}' now")


def _is_used(path: Path, mark: LedgerMark | None) -> bool:
    """Whether others have the older copy at *path* open with the log of the ledger it was laid over; never once parted."""
    is_theirs = has_log(path) or (mark is not None and mark.is_of(path))
    return is_theirs and bool(users_of(path)) and inspect(path, alone=True).is_sound


def _examined(path: Path, mark: LedgerMark | None, wait_seconds: float | None) -> tuple[Health, Inspection | None]:
    if mark is not None and is_suspect(path, mark):
        return inspect_suspected(path, mark), None
    if is_condemned(path):
        return inspect(path, Depth.FULL), None
    check = Inspection(path)
    found = check.first(wait_seconds)
    # A glance is enough to begin with; what it finds sound may yet be found damaged.
    health = found or replace(inspect(path, Depth.GLANCE), sentence=f"'{path}' is still being checked")
    if not health.is_sound:
        check.stop()
        return health, None
    ended = check.wait(min(WAIT_FOR_FULL_SECONDS, wait_seconds) if wait_seconds is not None else None)
    return (ended, None) if ended else (health, check)
