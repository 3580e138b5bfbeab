"""What a restore of an older copy lost, kept in the ledger it left: the log goes on to tell of it for weeks."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime

from echopilot_jobs.clock import iso
from echopilot_jobs.ledger.stored import maybe_moment
from echopilot_jobs.records import record

KEY = "restored "


@record(frozen=True)
class Restore:
    """A copy put back at *at*; it knew of what was before *copied_at* (None: of nothing).

    The runs above *after* up to *through* are lost; no later run gets their numbers. Those of *unended* are in the copy,
    and how they ended is lost.
    """

    at: datetime
    copied_at: datetime | None
    after: int
    through: int
    unended: frozenset[int]

    def lost(self, run_id: int) -> bool:
        """Whether it took that run away."""
        return self.after < run_id <= self.through

    @classmethod
    def read(cls, text: str) -> Restore:
        """One as `note_restore` wrote it. Raises what JSON raises, `ValueError`, `KeyError` and `TypeError` for another."""
        facts = json.loads(text)
        copied_at = facts["copied_at"] and datetime.fromisoformat(facts["copied_at"])
        at, unended = datetime.fromisoformat(facts["at"]), frozenset(map(int, facts["unended"]))
        return cls(at, copied_at, int(facts["after"]), int(facts["through"]), unended)


def note_restore(db: sqlite3.Connection, now: datetime, after: int, through: int) -> None:
    """Write down, inside the caller's transaction, that *db* has the runs up to *after* of those up to *through*.

    Nothing is noted where nothing is lost.
    """
    copied_at = maybe_moment(db.execute("select max(beat_at) from stints").fetchone()[0])
    unended = [row[0] for row in db.execute("select id from runs where state in ('queued', 'running', 'retry_wait')")]
    if through <= after and not unended:
        return
    facts = {
        "at": iso(now),
        "copied_at": iso(copied_at) if copied_at else None,
        "after": after,
        "through": through,
        "unended": unended,
    }
    db.execute("insert or replace into meta (key, value) values (?, ?)", (KEY + iso(now), json.dumps(facts)))
