"""What a run that has not started waits for: a person, a moment, or the end of other runs; and that all of them wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from echopilot_jobs.jobs import Inline, Job, Registry
from echopilot_jobs.ledger.terms import MAX_PAGE, Beat, beat_of
from echopilot_jobs.records import record
from echopilot_jobs.runs import Origin, Run, State

if TYPE_CHECKING:
    from echopilot_jobs.accounting.reasons import Show
    from echopilot_jobs.ledger import Ledger, SqliteReading
    from echopilot_jobs.runs import Stint

NAMED_MOST = 3
WAITED_LONG = timedelta(minutes=1)
WAITING = frozenset({State.QUEUED, State.RETRY_WAIT})


def leader(ledger: Ledger | SqliteReading, now: datetime) -> Stint | None:
    """The scheduler that leads now, if one does."""
    stint = ledger.stint()
    return stint if beat_of(stint, now) is Beat.LIVES else None


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
    from echopilot_jobs.accounting.reasons import pause_words, unanswered_words  # `status` looks at places alone

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
    own = [other for other in running if other.job_name == job.name]
    if len(own) >= job.max_instances:
        yield f"it waits for a run of its own job to end ({_named(own)})"
    elif members := _full_group(job, registry, running):
        yield f"it waits for a place in group '{job.group}' ({_named(members)})"
    elif _needs_place(job) and len(placed := _placed(registry, running)) >= PLACES:
        yield f"all {PLACES} places for runs are taken, and it waits for one ({_named(placed)})"


def _full_group(job: Job, registry: Registry, running: Sequence[Run]) -> list[Run]:
    """The runs of the job's group where they leave no place in it; else none."""
    limit = registry.group_limits.get(job.group or "")
    its = [other for other in running if (known := registry.get(other.job_name)) and known.group == job.group]
    return its if limit is not None and len(its) >= limit else []


def _needs_place(job: Job | None) -> bool:
    """Whether a run of it goes to the engine; what the scheduler does itself does not."""
    return not (job and isinstance(job.action, Inline))


def _placed(registry: Registry, running: Sequence[Run]) -> list[Run]:
    return [other for other in running if _needs_place(registry.get(other.job_name))]


@record(frozen=True)
class Full:
    """All places for runs are taken: by *holders*, oldest first. Those *waiting* want one, the first *since* then."""

    holders: tuple[Run, ...]
    waiting: tuple[Run, ...]
    since: datetime

    @property
    def remedy(self) -> str:
        """What to do about it."""
        first = self.holders[0].id
        return (
            f"`echopilot cancel {first}` frees the place taken first; a shorter `timeout` of its job does so by itself"
        )

    def words(self, show: Show) -> str:
        """Who holds them and since when, in a line; *show* puts moments."""
        counts = Counter(run.job_name for run in self.holders)
        firsts = {run.job_name: show(_taken_at(run)) for run in reversed(self.holders)}
        each = [f"{count} by {name} since {firsts[name]}" for name, count in counts.most_common(NAMED_MOST)]
        more = f" and {len(counts) - NAMED_MOST} other jobs" if len(counts) > NAMED_MOST else ""
        waits = "1 run waits" if len(self.waiting) == 1 else f"{len(self.waiting):,} runs wait"
        return f"all {len(self.holders)} places for runs are taken, {', '.join(each)}{more}; {waits} for one"


def full(ledger: Ledger | SqliteReading, registry: Registry, now: datetime) -> Full | None:
    """That runs have waited for more than a minute because every place is taken. Raises `LedgerUnavailable`."""
    led, runs = leader(ledger, now), ledger.open_runs(MAX_PAGE)
    ready = list(_free_to_start(ledger, runs, now))
    if led is None or not ready:
        return None
    from echopilot_jobs.engines import PLACES

    running = [run for run in runs if run.state is State.RUNNING]
    waiting = tuple(run for run in ready if _waits_for_place(run, registry, running))
    since = min((max(_ready_at(run), led.started_at) for run in waiting), default=now)
    placed = _placed(registry, running)
    if len(placed) < PLACES or now - since <= WAITED_LONG:
        return None
    return Full(tuple(sorted(placed, key=_taken_at)), waiting, since)


def _free_to_start(ledger: Ledger | SqliteReading, runs: Sequence[Run], now: datetime) -> Iterator[Run]:
    """Those that neither a moment, a pause nor a backlog keeps from starting; a backfill may wait as long as it takes."""
    paused, hold = {pause.job_name for pause in ledger.pauses(now) if pause.covers(now)}, ledger.waiting_hold()
    for run in runs:
        may_wait = run.origin is Origin.BACKFILL or (hold is not None and run.hold_id == hold.id)
        held = may_wait or (run.job_name in paused and is_held_by_pauses(run))
        if run.state in WAITING and not held and _ready_at(run) <= now:
            yield run


def _waits_for_place(run: Run, registry: Registry, running: Sequence[Run]) -> bool:
    """Whether only a place is missing: neither its own job nor its group keeps it."""
    job = registry.get(run.job_name)
    if job is None or not _needs_place(job) or _full_group(job, registry, running):
        return False
    return sum(other.job_name == job.name for other in running) < job.max_instances


def _ready_at(run: Run) -> datetime:
    return max(run.claimed_at, run.not_before or run.claimed_at)


def _taken_at(run: Run) -> datetime:
    return run.started_at or run.claimed_at


def _named(runs: Sequence[Run]) -> str:
    oldest = sorted(runs, key=lambda run: run.id)
    names = ", ".join(f"run {run.id} of {run.job_name}" for run in oldest[:NAMED_MOST])
    more = len(oldest) - NAMED_MOST
    return f"{names} and {more:,} more" if more > 0 else names
