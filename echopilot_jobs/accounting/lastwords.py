"""What the log says of schedulers that ended against their will: why one gave up, and how one lost its ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from echopilot_jobs.logreading import SCHEDULER_LOG, Parts, older_than
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record

FAILED, LOST, ADOPTED = "scheduler.failed", "ledger.vanished", "ledger.adopted"
_NAMES = tuple(f'"{event}"'.encode() for event in (FAILED, LOST, ADOPTED))
MOST = 200
SAID_MOST = 300
SOON = timedelta(seconds=60)  # a life's last beat may be that much older than its last line


@record(frozen=True)
class Word:
    """One such line of the log."""

    at: datetime
    event: str
    said: str


@record(frozen=True)
class Loss:
    """A ledger that was lost under its scheduler at *at*, and what became of it."""

    at: datetime
    what: str

    remedy = "find out what deletes or writes files in `var/`; `echopilot audit` says whether a slot is lost"


def read_last_words(logs_dir: Path, since: datetime) -> list[Word]:
    """The newest such lines later than *since*, oldest first; a line that cannot be read is passed over."""
    with Parts(logs_dir / SCHEDULER_LOG) as parts:
        lines = parts.last_lines(MOST, lambda line: any(name in line for name in _NAMES), older_than(since))
    return [word for line in lines if (word := _word(line))]


def _word(line: bytes) -> Word | None:
    try:
        facts = json.loads(line)
        at, event = datetime.fromisoformat(facts["ts"]), facts["event"]
        said = facts["error" if event == FAILED else "said"] if event in (FAILED, LOST, ADOPTED) else None
    except (ValueError, KeyError, TypeError):
        return None
    return Word(at, event, shorten(plain(said), SAID_MOST)) if isinstance(said, str) and at.tzinfo else None


def reason_of(last_beat: datetime, words: Sequence[Word]) -> str | None:
    """Why the life with that *last_beat* ended; None when it ended without a word."""
    soon = (word for word in words if word.event != ADOPTED and last_beat <= word.at <= last_beat + SOON)
    first = next(soon, None)
    if first is None:
        return None
    return "it lost its ledger" if first.event == LOST else first.said


def losses(words: Sequence[Word]) -> list[Loss]:
    """The ledgers that were lost, each with its rescue if that is told before the next loss."""
    found: list[Loss] = []
    for word in words:
        if word.event == LOST:
            found.append(Loss(word.at, word.said))
        elif word.event == ADOPTED and found:
            why = found[-1].what.partition("; ")[0]  # what follows names the copy, and so does the line of its rescue
            found[-1] = Loss(found[-1].at, f"{why}; {word.said}")
    return found
