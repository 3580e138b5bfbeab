"""The last day as a person asks about it: which slots got no run, neighbours joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from echopilot_jobs.ledger import Ledger
from echopilot_jobs.outages import IN_WORDS, Cause, Outage
from echopilot_jobs.records import record
from echopilot_jobs.slots import Gap, Skip, SkipReason

# Slots of a minute's job skipped one by one belong together; those of different outages do not.
SAME_STRETCH = timedelta(minutes=10)


@record(frozen=True)
class Missed:
    """Slots of one job that got no run for one reason, from *first* to *last*."""

    job_name: str
    reason: SkipReason
    first: datetime
    last: datetime
    count: int
    cause: str = ""
    outage: Outage | None = None


def missed(ledger: Ledger, start: datetime, end: datetime) -> list[Missed]:
    """Slots without a run between *start* and *end*, neighbours joined, newest first."""
    found = [*_joined(ledger.skips_between(start, end)), *map(_of_gap, ledger.gaps_between(start, end))]
    return sorted(found, key=lambda item: item.last, reverse=True)


def _joined(skips: Sequence[Skip]) -> Iterator[Missed]:
    held: dict[tuple[str, SkipReason, Outage | None], Missed] = {}
    for skip in skips:  # oldest first
        key, due = (skip.slot.job_name, skip.reason, skip.outage), skip.slot.due_at
        if (before := held.get(key)) and (skip.outage or due - before.last <= SAME_STRETCH):
            held[key] = replace(before, last=due, count=before.count + 1)
            continue
        if before:
            yield before
        held[key] = Missed(skip.slot.job_name, skip.reason, due, due, 1, _cause(skip.outage), skip.outage)
    yield from held.values()


def _of_gap(gap: Gap) -> Missed:
    return Missed(gap.job_name, gap.reason, gap.first, gap.last, gap.count, _cause(gap), gap.outage)


def _cause(missed_in: Gap | Outage | None) -> str:
    """Why nobody ran them, in words; nothing where that is not known or says no more than the reason."""
    cause = Cause.UNKNOWN if missed_in is None else missed_in.cause
    return "" if cause in (Cause.UNKNOWN, Cause.PAUSED) else IN_WORDS[cause]
