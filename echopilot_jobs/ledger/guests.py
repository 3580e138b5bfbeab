"""The ledger for those who write and never lead, as the web and the command line do.

SQLite goes on with the files it has open whatever becomes of their names, and every commit succeeds. A guest therefore looks
before each write and after it, for a few microseconds, and says so instead of promising what will not be found again (I24).
What it wrote while its files had their names is in what the scheduler rescues, which looks at the same names.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from echopilot_jobs.access import hidden
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.connection import Connector, connect
from echopilot_jobs.ledger.durable import beside
from echopilot_jobs.ledger.identity import continuity, identity_of, read_mark
from echopilot_jobs.ledger.refusing import refusal
from echopilot_jobs.ledger.sqlite import SqliteLedger
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.ledger.users import users_apart
from echopilot_jobs.ledger.watch import LedgerWatch, Sight

CHANGED = "the ledger's files were deleted or exchanged while in use"
MENDED = "the scheduler puts them in order when it starts; ask again in a few seconds"


class GuestLedger(SqliteLedger):
    """A ledger that somebody else leads. Every write raises `LedgerUnavailable` when it would not, or may not, be kept."""

    def __init__(self, path: Path, *, connector: Connector = connect) -> None:
        """Open what is there; raises `LedgerUnavailable` for files that do not belong together."""
        self._file = path
        self._goes_on = False
        self._watch = LedgerWatch(path)
        if _lacks_log(path) and users_apart(path):
            raise _changed()
        super().__init__(path, create=False, connector=connector)
        # A connection and its cache of statements hold each other: without this they stay until the collector comes by.
        weakref.finalize(self, _close_all, self._opened).atexit = False
        before, self._watch = self._watch, LedgerWatch(path)  # now with the log, which may have been made just now
        if before.verdict().is_lost:
            self.close()
            raise _changed()

    def _open(self) -> Sql:
        if self._watch.verdict().is_lost:  # one connection more would mix its files with those of the others
            raise _changed()
        return super()._open()

    @contextmanager
    def _writing(self) -> Iterator[Sql]:
        if said := self._why_not():
            raise LedgerUnavailable(said)
        with super()._writing() as sql:
            self._see_whether_it_goes_on(sql)
            yield sql
        if said := self._why_not():
            raise LedgerUnavailable(f"this may not have been kept; look whether it was; {said}")

    def _why_not(self) -> str | None:
        """Why nothing may be written, or was not kept; None when it may."""
        sight = self._watch.verdict()
        if sight.is_lost:
            return f"{CHANGED}; {MENDED}"
        return hidden(self._file) if sight is Sight.HIDDEN else self.refused

    @property
    def refused(self) -> str | None:
        """Why no scheduler leads it, if one refused it: nothing is written to it then."""
        return refusal(self._file)

    def _see_whether_it_goes_on(self, sql: Sql) -> None:
        """Once: an older copy that no scheduler has looked at yet is not written to (F19)."""
        if self._goes_on:
            return
        mark = read_mark(self._file)  # before the ledger is asked, which may grow meanwhile
        judged = continuity(self._file, mark, identity_of(sql.db))
        if judged.needs_a_person:
            raise LedgerUnavailable(judged.sentence)
        self._goes_on = True


def _close_all(opened: list[sqlite3.Connection]) -> None:
    while opened:
        opened.pop().close()


def _lacks_log(path: Path) -> bool:
    return any(not beside(path, suffix).exists() for suffix in ("-wal", "-shm"))


def _changed() -> LedgerUnavailable:
    return LedgerUnavailable(f"{CHANGED}; {MENDED}")
