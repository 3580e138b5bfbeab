"""That a ledger began empty where another one had been, kept in it: an empty past must not pass for a quiet one (F18)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta

from echopilot_jobs.clock import iso
from echopilot_jobs.records import record

KEY = "born after"
TOLD_FOR = timedelta(days=1)


@record(frozen=True)
class Rebirth:
    """This ledger began empty at *at*; the one before had runs up to *last_run* and was last seen at *seen_at*, if known."""

    at: datetime
    last_run: int
    seen_at: datetime | None

    @classmethod
    def read(cls, text: str) -> Rebirth:
        """One as `note_rebirth` wrote it. Raises what JSON raises, `ValueError`, `KeyError` and `TypeError` for another."""
        facts = json.loads(text)
        seen_at = facts["seen_at"] and datetime.fromisoformat(facts["seen_at"])
        return cls(datetime.fromisoformat(facts["at"]), int(facts["last_run"]), seen_at)

    def is_news(self, now: datetime) -> bool:
        """Whether somebody who looks at *now* may not have heard of it yet."""
        return now - self.at <= TOLD_FOR

    def words(self, show: Callable[[datetime], str]) -> str:
        """In a line; *show* puts moments."""
        seen = f" and last seen {show(self.seen_at)}" if self.seen_at else ""
        before = f"the ledger before this one, with runs up to {self.last_run}{seen}, is lost"
        return f"{before}; this one began empty at {show(self.at)}"


def note_rebirth(db: sqlite3.Connection, reborn: Rebirth) -> None:
    """Write it down inside the caller's transaction; what was noted first stays."""
    seen_at = iso(reborn.seen_at) if reborn.seen_at else None
    facts = {"at": iso(reborn.at), "last_run": reborn.last_run, "seen_at": seen_at}
    db.execute("insert or ignore into meta (key, value) values (?, ?)", (KEY, json.dumps(facts)))
