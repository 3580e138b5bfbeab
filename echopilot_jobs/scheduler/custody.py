"""The ledger's file in the care of whoever leads: put in order, opened, watched, rescued, given room on a full disk."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from echopilot_jobs.access import hidden
from echopilot_jobs.clock import Clock, iso
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.identity import (
    RUNS_BEYOND_MARK,
    Continuation,
    Continuity,
    MarkUnclear,
    continuity,
    read_mark,
    write_mark,
)
from echopilot_jobs.ledger.inspection import Condition, Depth, Inspection, inspect
from echopilot_jobs.ledger.keeping import Readiness, ToldSince, make_ready
from echopilot_jobs.ledger.rebirth import Rebirth
from echopilot_jobs.ledger.refusing import note_refusal
from echopilot_jobs.ledger.reserve import Reserve, is_full
from echopilot_jobs.ledger.watch import LedgerWatch, Sight
from echopilot_jobs.logs import Log


class LedgerGone(LedgerUnavailable):
    """The file this process works on is no longer the ledger: nothing written from now on would be found again.

    *mixed*: somebody wrote into the very file. Then it must not even be closed: SQLite would move our log into it.
    """

    def __init__(self, said: str, *, mixed: bool = False) -> None:
        super().__init__(f"the ledger is gone: {said}")
        self.mixed = mixed


class LedgerHidden(LedgerUnavailable):
    """This account may not look at the ledger's files at present; they may be what they were."""


class LedgerRefused(LedgerUnavailable):
    """The ledger has forgotten something it knew, or may have; a person has to say that it may be led."""


class Custody:
    """Opens the ledger at *path* and looks after its file. Used by one thread.

    *told_since* a moment (None: ever): the highest run number that the log has named from then on, 0 for none. The mark
    beside the ledger is as young as the last checkpoint, or lost with it.
    """

    def __init__(self, path: Path, clock: Clock, log: Log, told_since: ToldSince = lambda _moment: 0) -> None:
        self._path = path
        self._clock = clock
        self._log = log
        self._told_since = told_since
        self._reserve = Reserve(path)
        self._ledger: SqliteLedger | None = None
        self._watch: LedgerWatch | None = None
        self._check: Inspection | None = None
        self._told: str | None = None
        self._unmarked: str | None = None

    def open(self) -> SqliteLedger:
        """The ledger, sound and the one known; a damaged one is set aside, a rescued one put back, and each is said.

        Raises `LedgerRefused` for an older copy or an unclear mark, `LedgerUnavailable`, `LedgerTooNew`. Open already, it is
        simply given.
        """
        if self._ledger is not None:
            return self._ledger
        ready = self._made_ready()
        for note in ready.notes:
            self._log.event(note.event, said=note.sentence)
        note_refusal(self._path, ready.continuity.sentence if ready.continuity.needs_a_person else None)
        if ready.continuity.needs_a_person:
            raise LedgerRefused(ready.continuity.sentence)
        self._ledger = SqliteLedger(self._path)
        self._begin(self._ledger, ready)
        return self._ledger

    def _made_ready(self) -> Readiness:
        try:
            return make_ready(self._path, self._clock.now(), told_since=self._told_since)
        except MarkUnclear as error:
            note_refusal(self._path, str(error))
            raise LedgerRefused(str(error)) from error

    def _begin(self, ledger: SqliteLedger, ready: Readiness) -> None:
        judged = ready.continuity
        if judged.state is not Continuation.SAME:
            lost = self._go_on_after(ledger, ready)
            self._tell_new(ledger, judged, lost)
        self._check = ready.check
        self._reserve.take()

    def _go_on_after(self, ledger: SqliteLedger, ready: Readiness) -> Rebirth | None:
        """Number runs above all that were given (I10); whether the ledger those were in is lost, which is noted."""
        known = max(ready.known_runs, self._told_since(None))
        if known <= ledger.identity().last_run:
            return None
        seen_at = ready.mark.written_at if ready.mark else None
        lost = Rebirth(self._clock.now(), known, seen_at) if ready.continuity.begins_empty else None
        ledger.go_on_after(known + RUNS_BEYOND_MARK, lost)
        return lost

    def _tell_new(self, ledger: SqliteLedger, judged: Continuity, lost: Rebirth | None) -> None:
        if self._told == judged.sentence:  # whoever cannot lead yet opens it again every second
            return
        self._told = judged.sentence
        said = f"{judged.sentence}; {lost.words(iso)}" if lost else judged.sentence
        self._log.event("ledger.new", ledger_id=ledger.ledger_id, empty=judged.begins_empty, said=said)

    def led(self) -> None:
        """The lease is ours: from now on this file is the one known, and watched."""
        if self._ledger is not None:
            self._mark(self._ledger)
            self._watch = LedgerWatch(self._path)

    def checkpoint(self) -> None:
        """Move the log into the file, and note how much the ledger knows now. Raises `LedgerUnavailable`."""
        if self._ledger is None or self._watch is None:
            return
        self.look()
        self._ledger.checkpoint()
        self._watch.settle()
        if self._watch.verdict() is Sight.SAME:  # a mark must never take a stranger's file for ours
            self._mark(self._ledger)
            self._reserve.take()

    def _mark(self, ledger: SqliteLedger) -> None:
        """On a full disk the older mark stays: it tells of a rollback too, if less finely. The next checkpoint writes one."""
        try:
            write_mark(self._path, ledger.identity(), self._clock.now())
        except LedgerUnavailable as error:
            if self._unmarked != str(error):
                self._unmarked = str(error)
                self._log.event("ledger.unmarked", said=self._unmarked)
        else:
            self._unmarked = None

    def look(self) -> None:
        """Before each pass: is the file still there, and still ours? Raises `LedgerHidden` where that cannot be told.

        Raises `LedgerGone` when it is not, with a rescued copy made (F18).
        """
        self._look_at_check()
        verdict = self._watch.verdict() if self._watch is not None else Sight.SAME
        if verdict is Sight.HIDDEN:
            raise LedgerHidden(hidden(self._path) or f"the folder of '{self._path}' was closed for a moment")
        if verdict.is_lost:
            self._rescue(f"its file is {verdict}")
        if verdict is Sight.TOUCHED and self._watch is not None:
            self._look_inside()
            self._watch.settle()

    def _look_at_check(self) -> None:
        """The thorough check may end after leading began."""
        found = self._check.wait(0) if self._check is not None else None
        if found is not None:
            self._check = None
            if found.condition is Condition.DAMAGED:
                self._end(found.sentence)

    def _look_inside(self) -> None:
        """Somebody else wrote to the file. An older copy laid over it looks sound until every index is compared (F19)."""
        found = inspect(self._path, Depth.FULL)
        try:
            judged = continuity(self._path, read_mark(self._path), found.identity)
        except MarkUnclear as error:
            self._end(f"somebody wrote into its file: {error}", mixed=True)
        if found.condition is Condition.DAMAGED or judged.state is not Continuation.SAME:
            said = found.sentence if found.condition is Condition.DAMAGED else judged.sentence
            self._end(f"somebody wrote into its file: {said}", mixed=True)

    def _rescue(self, why: str) -> None:
        copy = self._ledger.rescue(self._clock.now()).name if self._ledger is not None else None
        self._end(f"{why}; everything it held is kept as '{copy}'")

    def _end(self, said: str, *, mixed: bool = False) -> NoReturn:
        self._log.event("ledger.vanished", said=said)
        raise LedgerGone(said, mixed=mixed)

    def relieve(self, error: LedgerUnavailable) -> bool:
        """On a full disk, give it the space kept back for outcomes (F25); whether there was any."""
        return is_full(error, self._path.parent) and self._reserve.release()

    def close(self) -> None:
        """Let go of the file."""
        if self._check is not None:
            self._check.stop()
        if self._ledger is not None:
            self._ledger.close()
        self._ledger = self._watch = self._check = None
