"""A backlog that waits for a person's word, as the pages show it: how many runs of which job, and what each answer does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from echopilot_jobs.accounting.reasons import answer_words, unanswered_words
from echopilot_jobs.holds import Hold, HoldAnswer
from echopilot_jobs.ledger import Ledger
from echopilot_jobs.records import record

ANSWERS: dict[str, HoldAnswer] = {"latest": "latest", "all": "all", "drop": "drop"}
_WHICH = {
    "latest": "Run the newest missed slot of each job: ",
    "all": "Run every missed slot, the oldest first: ",
    "drop": "Run nothing: ",
}


@record(frozen=True)
class Waiting:
    """The runs of *hold*: how many of each job, and what becomes of them *unanswered*."""

    hold: Hold
    counts: Mapping[str, int]
    unanswered: str

    @property
    def total(self) -> int:
        """How many runs wait."""
        return sum(self.counts.values())

    @property
    def answers(self) -> list[tuple[HoldAnswer, str]]:
        """Each answer, with what it does."""
        jobs, runs = len(self.counts), self.total
        return [(answer, _WHICH[word] + answer_words(answer, jobs, runs)) for word, answer in ANSWERS.items()]


def waiting_backlog(ledger: Ledger, now: datetime) -> Waiting | None:
    """The backlog nobody has answered yet, if there is one."""
    hold = ledger.waiting_hold()
    if hold is None:
        return None
    counts = Counter(ledger.open_counts()) - Counter(ledger.open_counts(hold.id))
    return Waiting(hold, dict(sorted(counts.items())), unanswered_words(hold, now))
