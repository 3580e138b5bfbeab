"""Is this the ledger I knew? A mark kept beside the file tells a copy, a newcomer and a rollback from the real one.

The mark is written after what it tells was committed, so a ledger that knows less than its mark has lost something.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from echopilot_jobs.access import unreadable
from echopilot_jobs.clock import iso
from echopilot_jobs.disk import read_whole
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.durable import beside, write_whole
from echopilot_jobs.records import record

MARK_SUFFIX = ".mark.json"
# A mark may be older than the ledger it tells about. Run ids of a ledger that begins anew start this far beyond it.
RUNS_BEYOND_MARK = 100_000
BELIEVED = 2**53  # a run a microsecond for 285 years


class MarkUnclear(LedgerUnavailable):
    """A mark is there and tells nothing, so nobody can say whether the ledger has forgotten something."""


@record(frozen=True)
class Identity:
    """What a ledger says of itself: its id for ever, its highest lease term, its highest run id (0 for none)."""

    ledger_id: str
    term: int
    last_run: int


@record(frozen=True)
class LedgerMark:
    """What was known of the ledger when the mark was written (*written_at* in UTC), and which file it was."""

    ledger_id: str
    term: int
    last_run: int
    device: int
    inode: int
    written_at: datetime

    def is_of(self, path: Path) -> bool:
        """Whether the file at *path* is the very file, not only a copy of it."""
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)

    def was_written_over(self, path: Path) -> bool:
        """Whether the file at *path* changed after this mark: by a stranger's hand, or a scheduler was killed just then."""
        try:
            return path.stat().st_ctime > self.written_at.timestamp()  # `cp -p` sets the other moment back
        except OSError:
            return True


class Continuation(StrEnum):
    """How the ledger found relates to the one known."""

    SAME = "same"
    NEW = "new"
    REBORN = "reborn"
    ROLLED_BACK = "rolled_back"


@record(frozen=True)
class Continuity:
    """The judgement and one sentence about it for a person. *begins_empty*: there is no history to go on from."""

    state: Continuation
    sentence: str
    begins_empty: bool = False

    @property
    def needs_a_person(self) -> bool:
        """Whether going on unasked could carry out again what was done already."""
        return self.state is Continuation.ROLLED_BACK


def identity_of(db: sqlite3.Connection) -> Identity | None:
    """What the ledger open in *db* says of itself; None where no schema of ours was made yet. Raises `sqlite3.Error`."""
    tables = {row[0] for row in db.execute("select name from sqlite_schema where type = 'table'")}
    if not {"meta", "stints", "runs"} <= tables:
        return None
    found = db.execute("select value from meta where key = 'ledger_id'").fetchone()
    if found is None:
        return None
    term = db.execute("select coalesce(max(term), 0) from stints").fetchone()[0]
    last_run = db.execute("select coalesce(max(id), 0) from runs").fetchone()[0]
    if "sqlite_sequence" in tables:  # what retention removed counts too: ids are never reused (I10)
        used = db.execute("select coalesce(max(seq), 0) from sqlite_sequence where name = 'runs'").fetchone()[0]
        last_run = max(last_run, used)
    return Identity(str(found[0]), int(term), int(last_run))


def write_mark(path: Path, known: Identity, now: datetime) -> LedgerMark:
    """Write down what is known of the ledger at *path*, durably and in one piece. Raises `LedgerUnavailable`.

    To be called after a lease was taken and after checkpoints while leading: the younger the mark, the finer a rollback
    is told; written after a checkpoint, the file alone knows no less than its mark.
    """
    try:
        found = path.stat()
        mark = LedgerMark(known.ledger_id, known.term, known.last_run, found.st_dev, found.st_ino, now)
        write_whole(mark_path(path), _encoded(mark))
    except OSError as error:
        raise LedgerUnavailable(
            f"the ledger's mark '{mark_path(path).name}' cannot be written: {error.strerror}"
        ) from error
    return mark


def read_mark(path: Path) -> LedgerMark | None:
    """The mark of the ledger at *path*; None when there is none. Raises `MarkUnclear` for one that tells nothing.

    Taken for none, it would let an older copy pass for a ledger seen for the first time, and slots run once more (F19).
    """
    file = mark_path(path)
    try:
        return _decoded(read_whole(file))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise MarkUnclear(unreadable(error)) from error
    except OSError as error:
        raise MarkUnclear(_unclear(file, error.strerror or str(error))) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise MarkUnclear(_unclear(file, "it is no mark of ours")) from error


def _decoded(content: bytes) -> LedgerMark:
    facts = json.loads(content)
    term, last_run, device, inode = (int(facts[name]) for name in ("term", "last_run", "device", "inode"))
    if not (0 <= term < BELIEVED and 0 <= last_run < BELIEVED):
        raise ValueError("no ledger ever got that far")
    return LedgerMark(
        ledger_id=str(facts["ledger_id"]),
        term=term,
        last_run=last_run,
        device=device,
        inode=inode,
        written_at=datetime.fromisoformat(facts["written_at"]),
    )


def _unclear(file: Path, why: str) -> str:
    return (
        f"'{file}', which tells how far the ledger beside it had got, cannot be read: {why}; see that the ledger is no older "
        "copy, then move that away: without it the ledger is taken as it is"
    )


def mark_path(path: Path) -> Path:
    """Where the mark of the ledger at *path* is kept."""
    return beside(path, MARK_SUFFIX)


def continuity(path: Path, mark: LedgerMark | None, here: Identity | None, told: int = 0) -> Continuity:
    """Whether *here* (None: nothing, or nothing yet, at *path*) goes on from what *mark* tells (F18, F19, F42).

    `new`: nothing was known. `reborn`: another ledger, or none, stands where one was known. `rolled_back`: it is the
    one known, and it has forgotten something; it is not to be led before a person has agreed. Else `same`. *told*: the
    highest run the log has named since the mark was written, which is as young as the last checkpoint only.
    """
    if here is None:
        return _nothing_here(path, mark)
    if mark is None:
        return Continuity(Continuation.NEW, f"no mark lay beside '{path.name}'; it is taken as it is and marked now")
    if here.ledger_id != mark.ledger_id:
        return Continuity(
            Continuation.REBORN,
            f"'{path.name}' is another ledger (id {here.ledger_id[:8]}) than the one known (id {mark.ledger_id[:8]}, "
            f"last seen {iso(mark.written_at)}); it is led from now on",
        )
    if lost := _lost(mark, here, told):
        return Continuity(
            Continuation.ROLLED_BACK,
            f"'{path.name}' is an older copy of the ledger: {lost}; stop the stack, then go on with it by "
            "`echopilot restore --accept`, or put back a newer one by `echopilot restore FILE`",
        )
    moved = "" if mark.is_of(path) else ", in a file moved or copied here"
    return Continuity(Continuation.SAME, f"'{path.name}' is the ledger known{moved}")


def continue_numbering(db: sqlite3.Connection, last_run: int) -> None:
    """Have the next run's id lie above *last_run*, inside the caller's transaction: ids are never reused (I10).

    For a ledger that begins anew or went back to an older copy; `RUNS_BEYOND_MARK` above a mark's count is surely unused.
    """
    changed = db.execute("update sqlite_sequence set seq = max(seq, ?) where name = 'runs'", (last_run,)).rowcount
    if not changed:
        db.execute("insert into sqlite_sequence (name, seq) values ('runs', ?)", (last_run,))


def _nothing_here(path: Path, mark: LedgerMark | None) -> Continuity:
    if mark is None:
        return Continuity(Continuation.NEW, f"no ledger was known at '{path.name}'; a new one begins", True)
    return Continuity(
        Continuation.REBORN,
        f"the ledger known at '{path.name}' (id {mark.ledger_id[:8]}, runs up to {mark.last_run}, last seen "
        f"{iso(mark.written_at)}) is gone; a new one begins and owes nothing for the past; a backup is put back with "
        "`echopilot restore FILE`",
        True,
    )


def _lost(mark: LedgerMark, here: Identity, told: int) -> str | None:
    if here.term < mark.term:
        return f"it ends with term {here.term} where term {mark.term} was known"
    if here.last_run < mark.last_run:
        return f"it ends with run {here.last_run} where run {mark.last_run} was known"
    if here.last_run < told:  # a line of the log is written once its commit is on the disk
        return f"it ends with run {here.last_run} and the log tells of run {told}"
    return None


def _encoded(mark: LedgerMark) -> bytes:
    facts = {**asdict(mark), "written_at": iso(mark.written_at)}
    return (json.dumps(facts, indent=2) + "\n").encode("ascii")
