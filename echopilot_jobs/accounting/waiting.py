"""What a run that has not started waits for: a person, a moment, or the end of other runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from echopilot_jobs.accounting.reasons import Show, pause_words, unanswered_words
from echopilot_jobs.jobs import Inline, Registry
from echopilot_jobs.ledger.terms import LEASE_TTL, MAX_PAGE
from echopilot_jobs.runs import Origin, Run, State

if TYPE_CHECKING:
    from echopilot_jobs.ledger import Ledger, SqliteReading
    from echopilot_jobs.runs import Stint

NAMED_MOST = 3
WAITING = frozenset({State.QUEUED, State.RETRY_WAIT})


def leader(ledger: Ledger | SqliteReading, now: datetime) -> Stint | None:
    """The scheduler that leads now, if one does."""
    stint = ledger.stint()
    return stint if stint and stint.ended_at is None and now - stint.beat_at <= LEASE_TTL else None


def waiting_words(ledger: Ledger, registry: Registry, run: Run, now: datetime, show: Show) -> Iterator[str]:
    """What *run* waits for before it starts, as far as the ledger tells; nothing when the next look starts it."""
    if run.state not in WAITING:
        return
    held = list(_held(ledger, run, now, show))
    if not held and leader(ledger, now) is None:
        held = ["no scheduler leads, so nothing starts; see `echopilot status`"]
    yield from held or crowd_words(run, registry, ledger.runs(states=frozenset({State.RUNNING}), limit=MAX_PAGE))


def _held(ledger: Ledger, run: Run, now: datetime, show: Show) -> Iterator[str]:
    """What keeps it from starting even where nothing else runs."""
    hold = ledger.waiting_hold()
    if hold is not None and run.hold_id == hold.id:
        yield (
            f"it belongs to a backlog of {hold.count:,} runs that waits for somebody's word; "
            f"{unanswered_words(hold, now)}; answer with `echopilot backlog latest`, `all` or `drop`"
        )
    elif run.not_before is not None and run.not_before > now:
        yield f"it may not start before {show(run.not_before)}"
    if is_held_by_pauses(run):
        for pause in ledger.pauses(now, run.job_name):
            if pause.covers(now):
                yield f"the job is {pause_words(pause, show)}; `echopilot resume {run.job_name}` lets it start"


def is_held_by_pauses(run: Run) -> bool:
    """Whether it waits while its job is paused: all do but what a person asked for."""
    return run.origin is not Origin.MANUAL


def crowd_words(run: Run, registry: Registry, running: Sequence[Run]) -> Iterator[str]:
    """Which of the *running* runs a waiting one has to outlast, by the rules of `ledger.room.Room`; at most one line."""
    from echopilot_jobs.engines import PLACES

    if (job := registry.get(run.job_name)) is None:
        return
    known = [(other, registry.get(other.job_name)) for other in running]
    own = [other for other in running if other.job_name == job.name]
    group, limit = job.group or "", registry.group_limits.get(job.group or "")
    members = [other for other, its in known if its and its.group == group]
    placed = [other for other, its in known if not (its and isinstance(its.action, Inline))]
    if len(own) >= job.max_instances:
        yield f"it waits for a run of its own job to end ({_named(own)})"
    elif limit is not None and len(members) >= limit:
        yield f"it waits for a place in group '{group}' ({_named(members)})"
    elif len(placed) >= PLACES and not isinstance(job.action, Inline):
        yield f"all {PLACES} places for runs are taken, and it waits for one ({_named(placed)})"


def _named(runs: Sequence[Run]) -> str:
    oldest = sorted(runs, key=lambda run: run.id)
    names = ", ".join(f"run {run.id} of {run.job_name}" for run in oldest[:NAMED_MOST])
    more = len(oldest) - NAMED_MOST
    return f"{names} and {more:,} more" if more > 0 else names
