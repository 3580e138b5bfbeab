"""What an audit finds, job by job and in all, however many rows it looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from echopilot_jobs.accounting.owed import moment_of
from echopilot_jobs.clock import iso
from echopilot_jobs.records import record
from echopilot_jobs.runs import Origin, State

SHOWN_MOST = 50

Claim = tuple[str, str, int]  # of a slot's run: state, origin, whether it ever started

# lost: a slot without a row; doubled: one with too many; wrong: a row that fits no slot; history: a line of the log without
# its row; stuck: a run of a dead scheduler that a living one left running; late: a slot nobody planned in time.
Kind = Literal["lost", "doubled", "wrong", "history", "stuck", "late"]


@record(frozen=True)
class Finding:
    """One thing that must not be, in words and as facts."""

    kind: Kind
    job_name: str
    words: str
    slot: int | None = None
    run_id: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        slot_at = _moment(self.slot)
        return {"kind": self.kind, "job": self.job_name, "slot_at": slot_at, "run": self.run_id, "words": self.words}


@dataclass
class Findings:
    """The first fifty of all *entries*, and how many slots or rows of each kind they stand for."""

    shown: list[Finding] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)
    entries: int = 0

    def add(self, finding: Finding, count: int = 1) -> None:
        """One more; *count* is how many slots it stands for."""
        self.counts[finding.kind] += count
        self.entries += 1
        if len(self.shown) < SHOWN_MOST:
            self.shown.append(finding)

    def extend(self, other: Findings) -> None:
        """Those of another as well."""
        self.shown += other.shown[: SHOWN_MOST - len(self.shown)]
        self.counts += other.counts
        self.entries += other.entries

    @property
    def total(self) -> int:
        """How many there are."""
        return self.counts.total()


@dataclass
class Account:
    """What became of one job's slots from *first* to *last* (epoch seconds). Each owed slot is in one of the counts.

    *ran* and *caught_up* are those that started; the runs of others are *waiting*, or were *cancelled* before they started.
    *backfilled* slots are counted once more, beside the skip or the gap they were in before.
    """

    job_name: str
    first: int | None = None
    last: int | None = None
    slots: int = 0
    ran: int = 0
    caught_up: int = 0
    waiting: int = 0
    cancelled: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    in_gaps: int = 0
    backfilled: int = 0
    lost: int = 0
    doubled: int = 0

    def add_claims(self, claims: Iterable[Claim]) -> None:
        """Slots that became runs, by what is known of each."""
        for (state, origin, started), count in Counter(claims).items():
            if state == State.QUEUED:
                self.waiting += count
            elif state == State.CANCELLED and not started:
                self.cancelled += count
            elif origin == Origin.CATCH_UP:
                self.caught_up += count
            else:
                self.ran += count

    def as_dict(self) -> dict[str, Any]:
        """JSON types only. *since* and *through* are null where no second lies between them: nothing is planned there yet."""
        since, through = self.first, self.last
        if since is None or through is None or since > through:
            since = through = None
        return {
            "job": self.job_name,
            "since": _moment(since),
            "through": _moment(through),
            "slots": self.slots,
            "ran": self.ran,
            "caught_up": self.caught_up,
            "waiting": self.waiting,
            "cancelled": self.cancelled,
            "skipped": dict(sorted(self.skipped.items())),
            "in_gaps": self.in_gaps,
            "backfilled": self.backfilled,
            "lost": self.lost,
            "doubled": self.doubled,
        }


def _moment(second: int | None) -> str | None:
    return None if second is None else iso(moment_of(second))
