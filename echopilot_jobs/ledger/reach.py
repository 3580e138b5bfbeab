"""How far the file of a ledger got, and what a restore would set back: told before anything moves."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from echopilot_jobs.ledger.inspection import UNFIT, has_log
from echopilot_jobs.ledger.stored import maybe_moment
from echopilot_jobs.ledger.watch import rescued
from echopilot_jobs.records import record


@record(frozen=True)
class Reach:
    """How many runs a ledger holds, the newest of them (0 for none), and its scheduler's last beat (None: none led)."""

    runs: int
    newest_run: int
    last_beat: datetime | None

    def is_beyond(self, other: Reach) -> bool:
        """Whether it knows of later things than *other*."""
        if self.newest_run != other.newest_run:
            return self.newest_run > other.newest_run
        return self.last_beat is not None and (other.last_beat is None or self.last_beat > other.last_beat)


@record(frozen=True)
class Setback:
    """The copy to be restored; the ledger in place (None: none that can be read); rescued copies that go beyond the copy."""

    copy: Reach
    before: Reach | None
    beyond: tuple[tuple[Path, Reach], ...] = ()


def reach_of(path: Path) -> Reach | None:
    """How far the ledger in the file *path* got; None for what is not there or cannot be read."""
    if not path.is_file():  # a pipe would hold us up
        return None
    uri = f"{path.absolute().as_uri()}?mode=ro{'' if has_log(path) else '&immutable=1'}"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as db:
            runs, newest = db.execute("select count(*), coalesce(max(id), 0) from runs").fetchone()
            return Reach(runs, newest, maybe_moment(db.execute("select max(beat_at) from stints").fetchone()[0]))
    except UNFIT:
        return None


def setback(source: Path, ledger: Path) -> Setback | None:
    """What restoring *source* in the place of *ledger* would set back; None for a source that cannot be read."""
    copy = reach_of(source)
    if copy is None:
        return None
    others = ((each, reach_of(each)) for each in rescued(ledger) if each.is_file() and not each.samefile(source))
    beyond = tuple((path, found) for path, found in others if found and found.is_beyond(copy))
    return Setback(copy, reach_of(ledger), beyond)
