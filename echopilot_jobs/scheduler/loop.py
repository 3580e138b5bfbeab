"""The loop: one pass plans, records and starts; a thin `while` around it waits for the next moment that matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from echopilot_jobs import backoff
from echopilot_jobs.clock import Clock
from echopilot_jobs.engines import Ended, Engine
from echopilot_jobs.errors import LedgerUnavailable, WrongState
from echopilot_jobs.jobs import Inline, Job, Registry
from echopilot_jobs.ledger import RENEW_EVERY, Lease, Ledger, Pass
from echopilot_jobs.logs import Log
from echopilot_jobs.planner import SETTLE, Plan, plan
from echopilot_jobs.pump import Pump
from echopilot_jobs.runs import BAD_ENDS, Origin, Outcome, Run, State

LOOK_AGAIN_SECONDS = 1.0
LEDGER_PATIENCE_SECONDS = 60.0

Duty = Callable[[Run], Outcome]


@dataclass(frozen=True)
class _Pass:
    """What one committed pass did, to be told and acted on after the commit."""

    claimed: list[Run]
    plans: list[tuple[Job, Plan]]
    started: list[Run]
    ended: list[tuple[Ended, Run]]
    refused: list[tuple[Ended, WrongState]]


class Scheduler:
    """The only planner. `beat` is one pass; whoever loops over it decides when to stop.

    *duties* carry out inline jobs, by the name their action gives. All time comes from *clock*.
    """

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        engine: Engine,
        clock: Clock,
        log: Log,
        lease: Lease,
        duties: Mapping[str, Duty],
        gap_cause: str = "unknown",
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._engine = engine
        self._clock = clock
        self._log = log
        self._lease = lease
        self._duties = duties
        self._inline = frozenset(name for name, job in registry.items() if isinstance(job.action, Inline))
        self._cause = gap_cause
        self._settled_at = clock.now() + SETTLE
        self._pump = Pump(registry.values(), clock.now())
        self._unplanned = set(registry)  # every job is looked at once at the start, for the gap before it
        self._startup_owed = [name for name, job in registry.items() if job.on_startup]
        self._unrecorded: list[Ended] = []
        self._renew_at = clock.monotonic()
        self._next_ready: datetime | None = None
        self._failing_since: float | None = None

    # -- one pass

    def beat(self, *, planning: bool = True) -> float:
        """One pass: record what ended, dispose of what came due, start what may start. Seconds until the next is due.

        With *planning* off nothing is claimed or started, as during a stop. A ledger that cannot be written loses nothing:
        outcomes are kept and slots stay due until a pass commits. Raises `LeaseLost` when another scheduler leads, and
        `LedgerUnavailable` when the ledger stayed out of reach for a minute and nothing waits to be recorded.
        """
        now = self._clock.now()
        self._unrecorded += self._engine.collect()
        self._unplanned.update(self._pump.due(now))
        try:
            done = self._one_transaction(now, planning)
        except LedgerUnavailable as error:
            self._put_off(error)
            return LOOK_AGAIN_SECONDS
        self._after_commit(done, now)
        return 0.0 if self._unrecorded else self._seconds_to_wait()

    def _one_transaction(self, now: datetime, planning: bool) -> _Pass:
        with self._ledger.leading(self._lease, now) as leading:
            ended, refused = self._record(leading, now)
            plans: list[tuple[Job, Plan]] = []
            claimed: list[Run] = []
            started: list[Run] = []
            if planning:
                plans, claimed = self._plan(leading, now)
                started = leading.start_ready(self._engine.free, self._inline)
            self._next_ready = leading.next_ready_at()
            leading.renew()
        return _Pass(claimed, plans, started, ended, refused)

    def _record(self, leading: Pass, now: datetime) -> tuple[list[tuple[Ended, Run]], list[tuple[Ended, WrongState]]]:
        ended, refused = [], []
        for item in self._unrecorded:
            try:
                ended.append((item, leading.finish(item.run, item.outcome, retry_at(item, now))))
            except WrongState as error:
                refused.append((item, error))
        return ended, refused

    def _plan(self, leading: Pass, now: datetime) -> tuple[list[tuple[Job, Plan]], list[Run]]:
        plans, claimed = [], []
        for name in sorted(self._unplanned):
            try:
                job = self._registry[name]
                made = plan(job, leading.standing(job), now, paced_from=self._settled_at, cause=self._cause)
            except (ValueError, ArithmeticError) as error:  # a trigger that cannot go on must not stop its neighbours
                self._log.event("job.failed_to_plan", job=name, error=f"{type(error).__name__}: {error}")
                continue
            claimed += leading.dispose(job, made)
            plans.append((job, made))
        owed = [
            leading.request(name, Origin.STARTUP, f"startup:{self._lease.term}:{name}") for name in self._startup_owed
        ]
        return plans, claimed + [run for run in owed if run]

    # -- after the commit

    def _after_commit(self, done: _Pass, now: datetime) -> None:
        self._tell_reachable()
        self._unrecorded.clear()
        self._renew_at = self._clock.monotonic() + RENEW_EVERY.total_seconds()
        if done.plans:
            self._unplanned.clear()
            self._startup_owed.clear()
            self._cause = "unknown"
        self._tell(done)
        for run in done.started:
            self.start_one(run, now)

    def start_one(self, run: Run, now: datetime) -> None:
        """The single door through which runs start; the ledger already says that this one is running."""
        job = self._registry[run.job_name]
        lag = (now - (run.slot.due_at if run.slot else run.claimed_at)) / timedelta(milliseconds=1)
        self._log.event("run.started", job=job.name, run=run.id, attempt=run.attempt, lag_ms=round(lag))
        if isinstance(job.action, Inline):
            began = self._clock.monotonic()
            outcome = self._duties[job.action.duty](run)
            elapsed = round((self._clock.monotonic() - began) * 1000)
            self._unrecorded.append(
                Ended(job, run, Outcome(outcome.state, outcome.error, outcome.result, duration_ms=elapsed))
            )
        else:
            self._engine.submit(job, run)

    def _tell(self, done: _Pass) -> None:
        for item, run in done.ended:
            self._tell_ended(item, run)
        for item, error in done.refused:
            self._log.event("run.finish_refused", job=item.job.name, run=item.run.id, error=str(error))
        for run in done.claimed:
            if run.slot:
                self._log.event(
                    "slot.claimed", job=run.job_name, slot=run.slot.due_at, run=run.id, origin=run.origin.value
                )
            else:
                self._log.event("run.queued", job=run.job_name, run=run.id, origin=run.origin.value)
        for job, made in done.plans:
            for stretch in made.skipped:
                first, last = stretch.slots[0].due_at, stretch.slots[-1].due_at
                facts = {"reason": stretch.reason.value, "count": len(stretch.slots), "first": first, "last": last}
                self._log.event("slot.skipped", job=job.name, **facts, cause=made.cause)

    def _tell_ended(self, item: Ended, run: Run) -> None:
        facts = {"job": run.job_name, "run": run.id, "state": run.state.value, "attempt": run.attempt}
        self._log.event("run.finished", **facts, ms=run.duration_ms, error=run.error)
        if run.job_name == "self_heal" and run.origin is Origin.STARTUP and not run.is_open:
            self._log.event("self_heal_startup", ok=run.state is State.SUCCEEDED, status=item.outcome.http_status)

    # -- when the ledger is out of reach

    def _put_off(self, error: LedgerUnavailable) -> None:
        now = self._clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            self._log.event("ledger.unreachable", error=str(error))
        elif now - self._failing_since > LEDGER_PATIENCE_SECONDS and self.is_idle:
            raise error  # with nothing to lose; an outcome nobody could write yet is kept as long as it takes

    def _tell_reachable(self) -> None:
        if self._failing_since is not None:
            self._log.event("ledger.reachable", after_s=round(self._clock.monotonic() - self._failing_since, 1))
            self._failing_since = None

    # -- waiting and stopping

    @property
    def is_idle(self) -> bool:
        """Whether no run is out and every outcome is recorded."""
        return not self._engine.busy and not self._unrecorded

    def _seconds_to_wait(self) -> float:
        now = self._clock.now()
        waits = [self._renew_at - self._clock.monotonic(), self._pump.idle_seconds(now)]
        if self._next_ready is not None:
            waits.append((self._next_ready - now).total_seconds())
        return max(min(waits), 0.0)


def retry_at(item: Ended, now: datetime) -> datetime | None:
    """When the next attempt is due, or None when this was the last.

    A run that a stop interrupted continues with the next scheduler if it may be repeated, but a start-up run does not:
    the next start brings its own.
    """
    job, run, outcome = item.job, item.run, item.outcome
    if outcome.state is State.CANCELLED:
        return now if job.idempotent and run.origin is not Origin.STARTUP else None
    if outcome.state in BAD_ENDS and run.attempt <= job.retries:
        return now + backoff.delay(run.attempt, seed=run.id)
    return None
