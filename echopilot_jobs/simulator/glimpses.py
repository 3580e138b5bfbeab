"""Jobs that come due every few minutes are lived only where something may happen to them, or a month would take minutes.

Away from outages the next slot of such a job ends as the one before it did. So its definition is taken away from the real
scheduler there and given back in time before the next outage, as a reload does it, and the slots between count as run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from echopilot_jobs.jobs import Job, Registry
from echopilot_jobs.planner import CONSENT_WITHIN

OFTEN = timedelta(minutes=10)
SAVING_LEAST = timedelta(days=1)  # a shorter rehearsal is lived whole
AT_FIRST = timedelta(minutes=40)
BEFORE = timedelta(minutes=10)
EDGE = timedelta(minutes=20)  # the end of a glimpse is lived and not counted: a run may be cut off by it
AFTER = CONSENT_WITHIN + timedelta(minutes=30) + EDGE  # the longest a backlog waits, and its runs

Glimpse = tuple[datetime, datetime]


def often(registry: Registry, takes: timedelta, failing: Sequence[str]) -> frozenset[str]:
    """The names of jobs whose runs are all alike: due often, over before the next, failing never, waiting for no others."""
    return frozenset(job.name for job in registry.values() if job.name not in failing and _is_even(job, takes))


def _is_even(job: Job, takes: timedelta) -> bool:
    apart = job.trigger.period - job.jitter
    plain = job.enabled and job.group is None and job.trigger.follows_real_time
    return plain and job.trigger.period <= OFTEN and 2 * takes < min(apart, job.timeout)


def glimpses(dark: Sequence[Glimpse], began_at: datetime, ended_at: datetime) -> list[Glimpse]:
    """When the often jobs are lived, in order and apart: the beginning, and from before each outage until all is as ever."""
    if ended_at - began_at <= SAVING_LEAST:
        return [(began_at, ended_at + EDGE)]
    found = [(began_at, began_at + AT_FIRST)]
    for start, end in [(start - BEFORE, end + AFTER) for start, end in dark]:
        if start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def is_seen(due: datetime, seen: Sequence[Glimpse]) -> bool:
    """Whether a slot of an often job was lived and counts."""
    return any(start < due <= end - EDGE for start, end in seen)


def slots_per_day(registry: Registry, often_names: frozenset[str], outages: int, days: float) -> float:
    """About how many slots a day are lived."""
    a_day = timedelta(days=1)
    share = min(1.0, (AT_FIRST + outages * (BEFORE + AFTER)) / (days * a_day)) if days > 1 else 1.0
    each = (
        (a_day / job.trigger.period, share if name in often_names else 1.0)
        for name, job in registry.items()
        if job.enabled
    )
    return sum(rate * part for rate, part in each)
