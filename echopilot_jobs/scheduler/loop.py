"""The loop: one pass plans, records and starts; a thin `while` around it waits for the next moment that matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from echopilot_jobs.clock import Clock
from echopilot_jobs.engines import Ended, Engine
from echopilot_jobs.errors import LedgerUnavailable, WrongState
from echopilot_jobs.jobs import Inline, Job, Registry
from echopilot_jobs.ledger import RENEW_EVERY, End, Ledger, Limits, Pass
from echopilot_jobs.logs import Log
from echopilot_jobs.outages import SILENT_ABOVE, Reading
from echopilot_jobs.planner import CONSENT_WITHIN, PACE, SETTLE, needs_consent, paced, plan
from echopilot_jobs.pump import Pump
from echopilot_jobs.runs import CUT_OFF, Origin, Outcome, Output, Progress, Run, State
from echopilot_jobs.scheduler.opening import Leadership
from echopilot_jobs.scheduler.passdone import PassDone
from echopilot_jobs.scheduler.retrying import retry_at, why_no_more
from echopilot_jobs.scheduler.telling import Teller
from echopilot_jobs.scheduler.timekeeping import CameLate, ClockMoved, Footing, Timekeeper

LOOK_AGAIN_SECONDS = 1.0
LEDGER_PATIENCE_SECONDS = 60.0

# A pass is prepared before its moment and committed when that has come, so that a claim is late by its commit alone.
# Nobody else can write meanwhile, hence not long before: at most 43 ms.
PREPARE_LEAST = timedelta(milliseconds=3)
PREPARE_EACH = timedelta(microseconds=200)
PREPARED_MOST = 200

Duty = Callable[[Run], Outcome]


class Scheduler:
    """The only planner. `beat` is one pass; whoever loops over it decides when to stop.

    *duties* carry out inline jobs, by the name their action gives. All time comes from *clock*. *relieve* may make room for
    outcomes on a full disk and says whether it did. *announce* hears of every run that began, of every attempt that
    ended and of every run that gave way, once the pass that wrote it is committed. *renew_every*: how often at least a pass
    proves that this one lives; a silence of more than twice that, and of more than `outages.SILENT_ABOVE`, is an outage.
    """

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        engine: Engine,
        clock: Clock,
        log: Log,
        leadership: Leadership,
        duties: Mapping[str, Duty],
        relieve: Callable[[LedgerUnavailable], bool] = lambda _error: False,
        announce: Callable[[Job, Run], None] = lambda _job, _run: None,
        renew_every: timedelta = RENEW_EVERY,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._engine = engine
        self._clock = clock
        self._lease = leadership.lease
        self._duties = duties
        self._timekeeper = Timekeeper(clock, leadership, max(SILENT_ABOVE, 2 * renew_every))
        self._teller = Teller(log)
        self._log = log
        self._limits = _limits(registry)
        self._paced_from = clock.now() + SETTLE
        self._pump = Pump(registry.values(), clock.now())
        self._unplanned = set(registry)  # every job is looked at once at the start, for the gap before it
        self._startup_owed = [name for name, job in registry.items() if job.on_startup and job.enabled]
        self._may_retire = True  # jobs may have gone since somebody last planned
        self._unrecorded: list[Ended] = []
        self._progress: dict[int, Progress] = {}
        self._outputs: dict[int, Output] = {}
        self._out: set[int] = set()
        self._in_doubt = False
        self._cancelled: dict[int, str] = {}
        self._renew_at = clock.monotonic()
        self._next_ready: datetime | None = None
        self._failing_since: float | None = None
        self._patient_until = 0.0
        self._relieve = relieve
        self._announce = announce
        self._renew_every = renew_every.total_seconds()

    # -- other definitions

    def adopt(self, registry: Registry) -> bool:
        """From the next beat on the jobs are those of *registry*. False while the ledger is out of reach: ask again then.

        A run under way ends under the definition it began with (F64); what waits for a job that is gone is cancelled.
        New and changed jobs owe nothing for the past. Raises `LeaseLost`.
        """
        if self._in_doubt:  # what the last pass started is not known yet, and may be of a job that goes
            return False
        now = self._clock.now()
        try:
            cancelled = self._ledger.set_defined(list(registry), now, self._lease)
        except LedgerUnavailable:
            return False  # it may be written all the same; written again it changes nothing
        with self._log.batch():
            for run in cancelled:
                self._log.event("run.cancelled", job=run.job_name, run=run.id, error=run.error)
        fresh = self._pump.replace(registry.values(), now)
        gone = {name: group for name, group in self._limits.group_of.items() if name not in registry}
        self._registry, self._limits = registry, _limits(registry)
        # A run of theirs may still be out, and holds its place in the group (I8).
        self._limits = replace(self._limits, group_of={**gone, **self._limits.group_of})
        self._unplanned = {name for name in self._unplanned if name in registry}.union(fresh)
        self._startup_owed = [name for name in self._startup_owed if name in registry]
        self._may_retire = True
        return True

    # -- one pass

    def beat(self, *, planning: bool = True, out_of_reach: LedgerUnavailable | None = None) -> float:
        """One pass: record what ended, dispose of what came due, start what may start. Seconds until the next is due.

        With *planning* off nothing is claimed or started, as during a stop. *out_of_reach*: why the ledger is not to be
        written now. A ledger that cannot be written loses nothing: outcomes are kept and slots stay due until a pass commits.
        Raises `LeaseLost` when another scheduler leads, and `LedgerUnavailable` when the ledger could not be written for a
        minute and nothing waits to be recorded. While *out_of_reach* is given it never does: what hides the ledger from this
        process hides the project from the next one, which could not even begin, and after some tries none would be started.
        """
        reading = self._timekeeper.read()
        self._unrecorded += self._engine.collect()
        self._listen()
        if self._timekeeper.has_stepped(reading):
            self._pump.reset(reading.wall)
            self._paced_from = min(self._paced_from, reading.wall + SETTLE)
        is_free = planning and not self._unrecorded and not self._unplanned
        moment = self._near_moment(reading.wall) if is_free else None
        if moment is not None:
            reading = reading.at(moment)
        self._unplanned.update(self._pump.due(reading.wall))
        try:
            if out_of_reach is not None:
                raise out_of_reach
            done = self._one_transaction(reading, planning, prepared=moment is not None)
        except ClockMoved:
            self._plan_all_anew()
            return 0.0
        except CameLate:
            return 0.0  # what came due is still unplanned
        except LedgerUnavailable as error:
            if moment is not None:  # its wake-ups are for a moment that is yet to come
                self._plan_all_anew()
            self._put_off(error, is_hidden=error is out_of_reach)
            self._in_doubt = True
            if planning and self._unrecorded and self._relieve(error):
                return self.beat(planning=False)  # outcomes first; nothing new starts on a full disk
            return LOOK_AGAIN_SECONDS
        with self._log.batch():
            self._after_commit(done, reading, planning)
        return 0.0 if self._unrecorded else self._seconds_to_wait()

    def _one_transaction(self, reading: Reading, planning: bool, *, prepared: bool = False) -> PassDone:
        done = PassDone()
        with self._ledger.leading(self._lease, reading.wall) as leading:
            if (
                planning
            ):  # first of all, because a step of the clock shifts what waits, and not what is yet to be written
                unreachable = self._failing_since is not None
                done.footing = self._timekeeper.account(leading, self._registry, reading, unreachable=unreachable)
            if self._progress:
                leading.note_progress(self._progress)
            if self._outputs:
                leading.note_outputs(self._outputs)
            self._record(leading, reading.wall, done)
            if done.footing is not None:
                # A pass that failed may have been committed all the same: what it started was never begun (F28).
                strays = leading.strays(self._out) if self._in_doubt else []
                self._plan(leading, reading.wall, done.footing, done)
                done.started = strays + done.started + leading.start_ready(self._may_start)
            done.to_cancel = leading.to_cancel()
            self._next_ready = leading.next_ready_at()
            leading.renew(reading, planned=planning)
            if prepared:
                self._timekeeper.wait_for(reading)
        return done

    def _near_moment(self, now: datetime) -> datetime | None:
        """The next moment, if it is time to prepare the pass that is made for it."""
        moment = self._pump.next_moment
        return moment if moment is not None and now < moment <= now + self._lead else None

    @property
    def _lead(self) -> timedelta:
        """How long before the next moment its pass begins: about twice what its statements take."""
        return PREPARE_LEAST + self._pump.count_next(PREPARED_MOST) * PREPARE_EACH

    def _plan_all_anew(self) -> None:
        """What was prepared for a moment did not come to be: no wake-up counts any more, so every job is looked at."""
        self._pump.reset(self._clock.now())
        self._unplanned.update(self._registry)

    def _listen(self) -> None:
        """Write what runs said to the log; how far they are and what they printed wait for the pass that commits."""
        notes = self._engine.notes()
        with self._log.batch():
            for note in notes:
                self._teller.tell_said(note)
        self._progress.update((note.run.id, note.heard.progress) for note in notes if note.heard.progress)
        self._outputs.update((note.run.id, note.heard.output) for note in notes if note.heard.output)

    def _record(self, leading: Pass, now: datetime, done: PassDone) -> None:
        if not self._unrecorded:
            return
        wanted = dict(leading.to_cancel())  # somebody may have asked since the last pass
        ends = leading.finish_all([self._end_of(item, wanted, now) for item in self._unrecorded])
        for item, ended in zip(self._unrecorded, ends, strict=True):
            if isinstance(ended, WrongState):
                done.refused.append((item, ended))
            else:
                done.ended.append((item, ended))

    def _end_of(self, item: Ended, wanted: Mapping[int, str], now: datetime) -> End:
        asked = self._cancelled.get(item.run.id) or wanted.get(item.run.id)
        again_at = retry_at(item, now, asked_to_stop=asked is not None or item.job.name not in self._registry)
        return item.run, _judged(item, asked, now), again_at

    def _plan(self, leading: Pass, now: datetime, footing: Footing, done: PassDone) -> None:
        done.settled = leading.settle_holds()
        done.retired = self._may_retire and not footing.held  # a clock nobody trusts says of no slot that it came due
        if done.retired:
            leading.retire(self._registry)
        names = self._registry if footing.replan else self._unplanned
        due = [job for name in sorted(names) if (job := self._plannable(name, footing))]
        if due:
            standings = leading.standings(due)
            for job in due:
                held_from = None if job.trigger.follows_real_time else footing.trusted_from
                try:
                    made = plan(job, standings[job.name], now, latest_only=held_from is not None, held_from=held_from)
                except (
                    ValueError,
                    ArithmeticError,
                ) as error:  # a trigger that cannot go on must not stop its neighbours
                    done.failed[job.name] = error
                else:
                    done.plans.append((job, made))
            self._dispose(leading, now, footing, done)
        done.superseded = leading.superseded
        planned = {job.name for job in due}
        # One that waits for the clock may be new, and a run needs its job to be known.
        if waiting := [self._registry[name] for name in self._startup_owed if name not in planned]:
            leading.standings(waiting)
        owed = [
            leading.request(name, Origin.STARTUP, f"startup:{self._lease.term}:{name}") for name in self._startup_owed
        ]
        done.claimed += [run for run in owed if run]

    def _plannable(self, name: str, footing: Footing) -> Job | None:
        job = self._registry.get(name)
        waits = job is not None and footing.held and not job.trigger.follows_real_time
        return None if waits else job

    def _dispose(self, leading: Pass, now: datetime, footing: Footing, done: PassDone) -> None:
        """Write the plans; a backlog waits its turn, and a very large or late one for a person's word."""
        late = [claim for _, made in done.plans for claim in made.claims if claim.origin is Origin.CATCH_UP]
        hold_id = None
        if late and needs_consent(late, now):
            done.held_until = now + CONSENT_WITHIN
            hold_id = leading.open_hold(len(late), done.held_until)
            done.plans = paced(done.plans, done.held_until, apart=timedelta(0))
        elif late:
            done.plans = paced(done.plans, max(now, self._paced_from))
        disposed = leading.dispose(done.plans, outage_id=footing.outage_id, hold_id=hold_id, limits=self._may_start)
        done.claimed += disposed.claimed
        done.started = disposed.started
        done.gave_way = disposed.ended

    @property
    def _may_start(self) -> Limits:
        return replace(self._limits, places=self._engine.free)

    # -- after the commit

    def _after_commit(self, done: PassDone, reading: Reading, planning: bool) -> None:
        self._tell_reachable()
        self._unrecorded.clear()
        self._progress.clear()
        self._outputs.clear()
        self._renew_at = self._clock.monotonic() + self._renew_every
        self._timekeeper.committed(reading, planned=planning)
        if done.footing is not None:
            self._in_doubt = False
            self._unplanned.difference_update([job.name for job, _ in done.plans], done.failed)
            self._startup_owed.clear()
            self._may_retire = self._may_retire and not done.retired
            self._pace(done, reading.wall)
        self._teller.tell(done)
        for item, run in done.ended:
            self._announce(item.job, run)
        for run in done.gave_way:
            self._announce(self._registry[run.job_name], run)
        for item, _ in [*done.ended, *done.refused]:
            self._cancelled.pop(item.run.id, None)
            self._out.discard(item.run.id)
        for run_id, actor in done.to_cancel:
            self._ask_to_stop(run_id, actor)
        self._teller.tell_started(done.started, reading.wall)
        for run in done.started:
            self.start_one(run)

    def _pace(self, done: PassDone, now: datetime) -> None:
        """The next backlog queues behind this one."""
        late = sum(run.origin is Origin.CATCH_UP and run.hold_id is None for run in done.claimed)
        if late:
            self._paced_from = max(now, self._paced_from) + late * PACE

    def _ask_to_stop(self, run_id: int, actor: str) -> None:
        if run_id not in self._cancelled:
            self._cancelled[run_id] = actor
            self._engine.cancel(run_id)
            self._log.event("run.cancel_asked", run=run_id, actor=actor)

    def start_one(self, run: Run) -> None:
        """The single door through which runs start; the ledger already says that this one is running."""
        job = self._registry[run.job_name]
        self._out.add(run.id)
        self._announce(job, run)
        if isinstance(job.action, Inline):
            began = self._clock.monotonic()
            outcome = self._duties[job.action.duty](run)
            elapsed = round((self._clock.monotonic() - began) * 1000)
            self._unrecorded.append(Ended(job, run, replace(outcome, duration_ms=elapsed) if elapsed else outcome))
        else:
            self._engine.submit(job, run)

    # -- when the ledger is out of reach

    def _put_off(self, error: LedgerUnavailable, *, is_hidden: bool) -> None:
        now = self._clock.monotonic()
        if self._failing_since is None or is_hidden:  # the time it was hidden costs no patience
            self._patient_until = now + LEDGER_PATIENCE_SECONDS
        if self._failing_since is None:
            self._failing_since = now
            self._log.event("ledger.unreachable", error=str(error))
        elif now > self._patient_until and self.is_idle:
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
        due_in = self._pump.idle_seconds(now)
        waits = [self._renew_at - self._clock.monotonic(), due_in - self._lead.total_seconds()]
        if self._next_ready is not None:
            waits.append((self._next_ready - now).total_seconds())
        return max(min(waits), 0.0)


def _limits(registry: Registry) -> Limits:
    return Limits(
        places=0,
        uncounted=frozenset(name for name, job in registry.items() if isinstance(job.action, Inline)),
        instances={name: job.max_instances for name, job in registry.items() if job.max_instances > 1},
        group_of={name: job.group for name, job in registry.items() if job.group},
        group_limits=registry.group_limits,
        priorities={name: job.priority for name, job in registry.items() if job.priority},
    )


def _judged(item: Ended, asked: str | None, now: datetime) -> Outcome:
    """What a person stopped says who did; what a stop of the stack cut off has not done its work, and counts as that."""
    outcome = item.outcome
    if outcome.state is State.SUCCEEDED:
        return outcome
    if outcome.state is not State.CANCELLED:
        words = why_no_more(item, now, asked)
        return replace(outcome, error="; ".join(filter(None, [outcome.error, words]))) if words else outcome
    if asked is not None:
        return replace(outcome, error=f"cancelled by {asked}")
    if not outcome.interrupted:
        return outcome
    if item.run.origin is Origin.STARTUP:
        return replace(outcome, error=f"{CUT_OFF}; the next start brings another")
    return replace(outcome, state=State.ABANDONED, error=CUT_OFF)
