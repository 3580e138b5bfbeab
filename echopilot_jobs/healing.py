"""Finding lapsed runs and deciding what follows: abandon what its owner left, retry what may be repeated, prune."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from datetime import datetime, timedelta

from echopilot_jobs.errors import WrongState
from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger import Ledger, Pruned
from echopilot_jobs.processes import Owner, end_leftovers, is_alive
from echopilot_jobs.records import record
from echopilot_jobs.runs import BAD_ENDS, CUT_OFF, OWNER_DIED, Origin, Run, State, retry_key

KEEP_FOR = timedelta(days=90)
KEEP_PER_JOB = 20
PRUNE_AT_ONCE = 500
PRUNE_BATCHES = 20


@record(frozen=True)
class HealReport:
    """What one healing did. `notes` are sentences for a person."""

    abandoned: list[Run] = field(default_factory=list)
    retried: list[Run] = field(default_factory=list)
    pruned: int = 0
    notes: list[str] = field(default_factory=list)


def heal(ledger: Ledger, registry: Mapping[str, Job], now: datetime) -> HealReport:
    """Abandon runs whose owner is dead, queue one retry of failed ones whose job allows it, and prune old history."""
    abandoned = abandon_lost(ledger, now)
    retried = retry_failed(ledger, registry, now)
    pruned = _prune(ledger, now)
    notes = [f"run {run.id} of {run.job_name} was abandoned: {run.error}" for run in abandoned]
    notes += [f"{run.job_name} runs again as run {run.id}" for run in retried]
    if pruned:
        notes.append(f"{pruned} runs older than {KEEP_FOR.days} days were removed")
    return HealReport(abandoned, retried, pruned, notes)


def prune_batch(ledger: Ledger, now: datetime, after: int = 0) -> Pruned:
    """One small batch of retention beyond run *after*; no lock is held for long (F79).

    Nothing goes while the wall clock is not trusted: years ahead, it would call all history old (I10).
    """
    if ledger.generation().held:
        return Pruned(0, None)
    return ledger.prune(now - KEEP_FOR, KEEP_PER_JOB, PRUNE_AT_ONCE, now=now, after=after)


def refuse_unless_clock_trusted(ledger: Ledger) -> None:
    """Raise `WrongState` while a step of the wall clock leaves open what is old."""
    if ledger.generation().held:
        raise WrongState(
            "the machine's clock was set and is not trusted yet, so nobody can say what is old; "
            "see `echopilot clock`, then ask again"
        )


def prune_to(ledger: Ledger, older_than: datetime, keep_per_job: int, now: datetime) -> Iterator[Pruned]:
    """All of retention as a person asked for it, batch by batch; each is whole and recorded, so it may end after any.

    Raises `WrongState` before the next batch once the wall clock is not trusted (I10).
    """
    after = 0
    while True:
        refuse_unless_clock_trusted(ledger)
        done = ledger.prune(older_than, keep_per_job, PRUNE_AT_ONCE, now=now, after=after)
        yield done
        if done.looked_at is None and not done.count:  # skips and gaps may outlast the runs
            return
        after = done.looked_at or after


def _prune(ledger: Ledger, now: datetime) -> int:
    """As many batches as one healing should take; the scheduler's chores do the rest."""
    count, after = 0, 0
    for _ in range(PRUNE_BATCHES):
        done = prune_batch(ledger, now, after)
        count += done.count
        if done.looked_at is None:
            break
        after = done.looked_at
    return count


def abandon_lost(
    ledger: Ledger,
    now: datetime,
    alive: Callable[[str], bool] | None = None,
    sweep: Callable[[str], int] = end_leftovers,
) -> list[Run]:
    """End what dead owners left: first their runs' processes (I8), then the `running` rows, the only pointer to those (I5).

    A live run is never declared lost (I7).
    """
    alive = alive or owner_lives
    dead = {owner: ended_how for owner, ended_how in ledger.running_owners().items() if not alive(owner)}
    for owner in dead:
        sweep(owner)
    return [
        run
        for owner, ended_how in dead.items()
        for run in ledger.abandon_owned_by([owner], now, CUT_OFF if ended_how == "stopped" else OWNER_DIED)
    ]


def owner_lives(owner: str) -> bool:
    """Whether the process behind an owner's text is still that process."""
    try:
        return is_alive(Owner.parse(owner))
    except ValueError:
        return False


def retry_failed(ledger: Ledger, registry: Mapping[str, Job], now: datetime) -> list[Run]:
    """One more run for every job whose newest run ended badly, if it is safe to repeat and still of use."""
    last = ledger.last_runs()
    wanted = [last[name] for name, job in registry.items() if name in last and may_retry(job, last[name], now)]
    return [run for lost in wanted if (run := _retry(ledger, lost, now))]


def may_retry(job: Job, last: Run, now: datetime) -> bool:
    """Repeating needs `idempotent`, a bad end within the job's window, and not to be a repetition already."""
    ended = last.finished_at
    recent = ended is not None and now - ended <= job.window
    wanted = last.cancel_wanted is None  # what a person stopped stays stopped
    return job.idempotent and wanted and last.state in BAD_ENDS and last.origin is not Origin.RETRY and recent


def retry_abandoned(ledger: Ledger, registry: Mapping[str, Job], abandoned: Iterable[Run], now: datetime) -> list[Run]:
    """One more run for each of the *abandoned* that may be repeated: nobody has to wait for the next healing."""
    known = ((registry.get(lost.job_name), lost) for lost in abandoned)
    wanted = [lost for job, lost in known if job is not None and may_retry(job, lost, now)]
    return [run for lost in wanted if (run := _retry(ledger, lost, now))]


def retry_run(
    ledger: Ledger, run: Run, now: datetime, actor: str, *, force: bool = False, insist: str = "ask with --force"
) -> tuple[Run, bool]:
    """One more run of the slot and the parameters of *run*, for a person: (the run, whether it is new).

    Asked again, it is the same one (I24); where healing was first, it is healing's. Raises `WrongState` for a run that is
    open, and for one that succeeded, unless it is to be done again by *force*; *insist* says how that is asked for.
    """
    if run.is_open:
        raise WrongState(
            f"run {run.id} is {run.state.words}; wait for its end, or end it with `echopilot cancel {run.id}`"
        )
    if run.state is State.SUCCEEDED and not force:
        raise WrongState(f"run {run.id} succeeded; to do it all again, {insist}")
    return ledger.request_run(
        run.job_name,
        now,
        origin=Origin.RETRY,
        request_key=retry_key(run.id),
        actor=actor,
        params=run.params,
        retry_of=run,
    )


def repeated_by(run: Run) -> int | None:
    """The run that *run* repeats; None when it repeats none."""
    before = (run.request_key or "").removeprefix(retry_key(0)[:-1])
    return int(before) if run.origin is Origin.RETRY and before.isdecimal() else None


def _retry(ledger: Ledger, lost: Run, now: datetime) -> Run | None:
    try:
        run, is_new = ledger.request_run(
            lost.job_name,
            now,
            origin=Origin.RETRY,
            request_key=retry_key(lost.id),
            params=lost.params,
            retry_of=lost,
        )
    except WrongState:
        return None
    return run if is_new else None
