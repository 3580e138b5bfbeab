"""Numbers over the last day, for `/api/metrics-summary`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from echopilot_jobs.clock import iso
from echopilot_jobs.ledger import Ledger
from echopilot_jobs.runs import BAD_ENDS, Run, State

DAY = timedelta(days=1)


def summary(ledger: Ledger, now: datetime) -> dict[str, Any]:
    """Runs by state since midnight UTC and over 24 hours, success, lateness, skips, the last beat, and each job."""
    runs = ledger.runs_between(now - DAY, now + timedelta(milliseconds=1))
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    stint = ledger.stint()
    return {
        "at": iso(now),
        "today": by_state(run for run in runs if moment_of(run) >= midnight),
        "last_24h": by_state(runs),
        "success_rate_24h": success_rate(runs),
        "lateness_24h_ms": lateness(runs),
        "skipped_24h": skipped(ledger, now),
        "last_beat": iso(stint.beat_at) if stint else None,
        "beat_age_s": round((now - stint.beat_at).total_seconds(), 1) if stint else None,
        "jobs": per_job(ledger, runs),
    }


def by_state(runs: Iterable[Run]) -> dict[str, int]:
    """How many runs stand in each state; every state is named."""
    counts = Counter(run.state for run in runs)
    return {state.value: counts[state] for state in State} | {"total": counts.total()}


def success_rate(runs: Iterable[Run]) -> float | None:
    """Succeeded among those that succeeded or ended badly, 0 to 1; None when none of either ended."""
    counts = Counter(run.state for run in runs)
    ended = counts[State.SUCCEEDED] + sum(counts[state] for state in BAD_ENDS)
    return round(counts[State.SUCCEEDED] / ended, 4) if ended else None


def lateness(runs: Iterable[Run]) -> dict[str, int | None]:
    """From the slot to the start in milliseconds: half and 99 of 100 runs were no later, and the worst."""
    late = sorted(run.lateness // timedelta(milliseconds=1) for run in runs if run.lateness is not None)
    return {"p50": quantile(late, 0.50), "p99": quantile(late, 0.99), "max": late[-1] if late else None}


def quantile(ordered: Sequence[int], share: float) -> int | None:
    """The nearest-rank quantile of *ordered* values; None of none."""
    if not ordered:
        return None
    return ordered[max(1, ceil(len(ordered) * share)) - 1]


def skipped(ledger: Ledger, now: datetime) -> dict[str, int]:
    """How many slots of the last day got no run, by reason."""
    counts: Counter[str] = Counter(skip.reason.value for skip in ledger.skips_between(now - DAY, now))
    for gap in ledger.gaps_between(now - DAY, now):
        counts[gap.reason.value] += gap.count
    return dict(counts)


def per_job(ledger: Ledger, runs: Iterable[Run]) -> dict[str, Any]:
    """Each job's states over the last day and its newest run."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.job_name].append(run)
    last = ledger.last_runs()
    return {name: _job(groups[name], last.get(name)) for name in ledger.job_names()}


def _job(runs: list[Run], last: Run | None) -> dict[str, Any]:
    took = sorted(run.duration_ms for run in runs if run.duration_ms is not None)
    return {
        "last_24h": by_state(runs),
        "success_rate_24h": success_rate(runs),
        "duration_ms": {"p50": quantile(took, 0.50), "p99": quantile(took, 0.99)},
        "last_run": last.id if last else None,
        "last_state": last.state.value if last else None,
    }


def moment_of(run: Run) -> datetime:
    """Where in the day a run belongs: at its slot, or when it was asked for."""
    return run.slot.due_at if run.slot else run.claimed_at
