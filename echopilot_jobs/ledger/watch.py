"""What happens to the ledger's files while they are open: deleted, exchanged, written to by a stranger.

SQLite notices none of it. It goes on with the files it has open, whose names are gone, so every commit succeeds and all of
it is lost with the process (F18). A look costs three `stat` calls, a few microseconds.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from echopilot_jobs.access import hidden
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.copying import copy_database
from echopilot_jobs.ledger.durable import beside, free_name, stamp, sync_folder
from echopilot_jobs.ledger.identity import Identity, LedgerMark
from echopilot_jobs.ledger.inspection import Condition, Depth, inspect
from echopilot_jobs.ledger.swap import INCOMPLETE, drop_widowed, exchange

RESCUED = ".rescued-"
FILES = ("", "-wal", "-shm")


class Sight(StrEnum):
    """What became of the files since they were opened."""

    SAME = "same"
    GONE = "gone"
    REPLACED = "replaced"
    TOUCHED = "touched"
    HIDDEN = "hidden"

    @property
    def is_lost(self) -> bool:
        """Whether nothing written from now on will be found again."""
        return self in (Sight.GONE, Sight.REPLACED)


class LedgerWatch:
    """Remembers which files were opened. Made once the ledger is open, so that `-wal` and `-shm` are there."""

    def __init__(self, path: Path) -> None:
        self._files = tuple(str(beside(path, suffix)) for suffix in FILES)
        self._known = self._look()

    def verdict(self) -> Sight:
        """`gone`: the file, its log or its index has no name any more. `replaced`: another file has that name.

        Both mean that nothing written from now on will be found again: write no more, `rescue`, end. `touched`: the file
        was written by somebody else than its one checkpointer; inspect it (F19, a copy written over it). `hidden`: this
        account may not look; wait until it may, for nothing is lost by that.
        """
        now = self._look()
        if now == self._known:
            return Sight.SAME
        pairs = [(old, new) for old, new in zip(self._known, now, strict=True) if old]  # a log may be made later
        if any(new is None for _, new in pairs):
            return Sight.HIDDEN if hidden(Path(self._files[0])) else Sight.GONE
        if any(new and new[:2] != old[:2] for old, new in pairs):
            return Sight.REPLACED
        return Sight.SAME if now[0] == self._known[0] else Sight.TOUCHED

    def settle(self) -> None:
        """Take the file's content as it is now for ours: to be called right after every checkpoint of one's own."""
        if self.verdict() is Sight.TOUCHED:
            self._known = self._look()

    def _look(self) -> tuple[tuple[int, ...] | None, ...]:
        """Which file has each name; of the ledger itself also what a write would change."""
        ledger, *others = map(_stat, self._files)
        content = ledger and (ledger.st_dev, ledger.st_ino, ledger.st_size, ledger.st_mtime_ns)
        return content, *(each and (each.st_dev, each.st_ino) for each in others)


def rescue(db: sqlite3.Connection, path: Path, now: datetime) -> Path:
    """Copy the ledger that *db* holds open, log included, into `NAME.rescued-STAMP.sqlite3`, durable when it returns.

    For files that lost their name: the connection is then the only way to them, and closing it is the end of them. Their
    folder is made anew if it went with them. *db* must not be inside a transaction. Raises `LedgerUnavailable` and leaves
    nothing.
    """
    with suppress(OSError):  # the copy says what is wrong
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = free_name(beside(path, f"{RESCUED}{stamp(now)}"), tail=".sqlite3")
    draft = beside(target, ".draft")
    try:
        copy_database(db, draft)
        draft.rename(target)
        sync_folder(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise LedgerUnavailable(f"the ledger that lost its file cannot be rescued: {error}") from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                beside(draft, suffix).unlink(missing_ok=True)
    return target


def rescued(path: Path) -> list[Path]:
    """The copies that were rescued of the ledger at *path*, the newest first."""
    return sorted(path.parent.glob(f"{path.name}{RESCUED}*.sqlite3"), reverse=True)


def adopt_rescued(path: Path, mark: LedgerMark | None, now: datetime) -> Path | None:
    """Put a rescued copy in the ledger's place if that is where it belongs; the name it had, else None.

    It belongs there when the ledger is missing, or is still the marked file (its log was deleted: the copy has all of it).
    It must be sound, of the marked ledger and no older than the mark. A ledger that somebody put there stays. Raises
    `LedgerUnavailable`.
    """
    for candidate in rescued(path):
        if not _is_vacant(path) and not (mark and mark.is_of(path)):
            return None
        found = inspect(candidate, Depth.FULL, alone=True)  # it may hold a stranger's pages among ours
        if found.is_sound and found.identity and _fits(found.identity, mark):
            exchange(path, candidate, now, INCOMPLETE)
            drop_widowed(path)
            return candidate
    return None


def _is_vacant(path: Path) -> bool:
    return not os.path.lexists(path) or inspect(path, Depth.GLANCE).condition is Condition.EMPTY


def _fits(rescued: Identity, mark: LedgerMark | None) -> bool:
    if mark is None:
        return True
    same = rescued.ledger_id == mark.ledger_id
    return same and rescued.term >= mark.term and rescued.last_run >= mark.last_run


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - called at every beat, and `Path.stat` takes four times as long
    except OSError:
        return None
