"""A scheduler that ends against its will again and again: each life looks healthy, and only the row of them tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from echopilot_jobs.records import record

if TYPE_CHECKING:
    from echopilot_jobs.accounting.lastwords import Loss, Word
    from echopilot_jobs.ledger import Ledger, SqliteReading

WITHIN = timedelta(hours=1)
LEAST = 2  # one death may be the machine's; a second one within the hour has a cause to be found


@record(frozen=True)
class Dying:
    """Why the lives of the scheduler that were not stopped ended (None: without a word), and the newest's last beat."""

    reasons: tuple[str | None, ...]
    last: datetime

    @property
    def count(self) -> int:
        """How many they were."""
        return len(self.reasons)

    @property
    def remedy(self) -> str:
        """Where to look."""
        memory = "; see whether memory runs out" if None in self.reasons else ""
        return f"`supervisorctl tail scheduler` has its last words{memory}"

    def words(self, show: Callable[[datetime], str]) -> str:
        """In a line; *show* puts moments."""
        told = f"the scheduler died {self.count} times within the last hour, last at {show(self.last)}"
        if not any(self.reasons):
            return told
        each = [f"{_times(count)} {reason or 'without a word'}" for reason, count in Counter(self.reasons).items()]
        return f"{told}: {'; '.join(each)}"


def dying(ledger: Ledger | SqliteReading, logs_dir: Path, now: datetime) -> tuple[Dying | None, list[Loss]]:
    """The deaths of the last hour if there were two or more, and every ledger lost meanwhile."""
    ends = deaths(ledger, now, WITHIN)
    if not ends:
        return None, []
    from echopilot_jobs.accounting.lastwords import (
        losses,
        reason_of,
    )  # to read logs takes more loading than to ask a ledger

    words = _words(logs_dir, ends)
    reasons = tuple(reason_of(end, words) for end in ends)
    return Dying(reasons, max(ends)) if len(ends) >= LEAST else None, losses(words)


def deaths(ledger: Ledger | SqliteReading, now: datetime, within: timedelta) -> tuple[datetime, ...]:
    """The last beats of the lives that ended so, oldest first. Nobody sees such an end, so it counts from the last beat."""
    since = now - within
    lives = ledger.stints_between(since, now)
    return tuple(sorted(each.beat_at for each in lives if each.ended_how == "lost" and each.beat_at >= since))


@lru_cache(maxsize=8)  # a page that is looked at asks every few seconds, and what is said of past ends stays the same
def _words(logs_dir: Path, ends: tuple[datetime, ...]) -> Sequence[Word]:
    from echopilot_jobs.accounting.lastwords import read_last_words

    return read_last_words(logs_dir, ends[0])


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
