"""The scheduler that must be found out: the real one, but effects happen before their claim is durable.

Everything it starts is carried out inside the transaction that claims it. A kill in between takes the claim back and
leaves the effect, so the slot is run again: what the verdict has to see.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.engines import Ended, Note
from echopilot_jobs.executor import Cancel, Executor, OwnWeb
from echopilot_jobs.healing import owner_lives
from echopilot_jobs.jobs import Job, Registry
from echopilot_jobs.ledger import Lease, SqliteLedger
from echopilot_jobs.ledger.facts import Disposed, Limits
from echopilot_jobs.ledger.sqlite_pass import SqlitePass
from echopilot_jobs.logs import SchedulerLog
from echopilot_jobs.planner import Plan
from echopilot_jobs.processes import become_subreaper, end_leftovers, this_process
from echopilot_jobs.runs import Outcome, Run, State
from echopilot_jobs.scheduler import Scheduler
from echopilot_jobs.scheduler.lock import PlannerLock
from echopilot_jobs.scheduler.opening import Identity, Succession, Surroundings, lead
from echopilot_jobs.settings import Settings, load
from tests.soak.jobs import registry

JOBS = ("beat", "quick", "crowd")


class HastyEngine:
    """Carries a run out when told to, and takes the order for it when that comes."""

    free = 8
    busy = 0

    def __init__(self, executor: Executor, jobs: Registry) -> None:
        self._executor = executor
        self._jobs = jobs
        self._ended: list[Ended] = []

    def carry_out(self, run: Run) -> None:
        """The effect, now."""
        job = self._jobs[run.job_name]
        if job.name != "beat":
            self._ended.append(Ended(job, run, self._executor.carry_out(job, run, Cancel())))

    def submit(self, job: Job, run: Run) -> None:
        """It has been done."""

    def collect(self) -> list[Ended]:
        """What was done since."""
        ended, self._ended = self._ended, []
        return ended

    def notes(self) -> list[Note]:
        """None of these jobs says anything."""
        return []

    def cancel(self, run_id: int) -> None:
        """Too late."""

    def cancel_all(self) -> None:
        """Too late."""


class HastyPass:
    """A pass that has the effects of what it starts before anything of it is committed."""

    def __init__(self, inner: SqlitePass, carry_out: Callable[[Run], None]) -> None:
        self._inner = inner
        self._carry_out = carry_out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def dispose(self, plans: Sequence[tuple[Job, Plan]], **facts: Any) -> Disposed:
        """The mistake."""
        disposed = self._inner.dispose(plans, **facts)
        for run in disposed.started:
            self._carry_out(run)
        return disposed

    def start_ready(self, limits: Limits) -> list[Run]:
        """The mistake."""
        started = self._inner.start_ready(limits)
        for run in started:
            self._carry_out(run)
        return started


class HastyLedger(SqliteLedger):
    """The real ledger with the hasty pass."""

    carry_out: Callable[[Run], None]

    @contextmanager
    def leading(self, lease: Lease, now: datetime) -> Iterator[SqlitePass]:
        with super().leading(lease, now) as leading:
            yield cast(SqlitePass, HastyPass(leading, self.carry_out))


def main(settings: Settings) -> int:
    """Stand by, lead, beat; leave at a TERM."""
    become_subreaper()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings.var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    this, lock = this_process(), PlannerLock(settings.var_dir / "scheduler.lock")
    identity = Identity(str(this), this.boot_id, platform.node(), "control")
    while not lock.take(identity.owner):
        if stop.wait(0.1):
            return 0
    lead_and_beat(settings, identity, stop)
    return 0


def lead_and_beat(settings: Settings, identity: Identity, stop: threading.Event) -> None:
    """The life of the leader."""
    clock, jobs = SystemClock(), registry(JOBS)
    log = SchedulerLog(settings.logs_dir / "scheduler.log", clock)
    ledger = HastyLedger(settings.ledger_path)
    engine = HastyEngine(Executor(clock, identity.owner, OwnWeb("", str)), jobs)
    ledger.carry_out = engine.carry_out
    surroundings = Surroundings(lives=owner_lives, sweep=end_leftovers)
    succession = Succession(clock, identity, owner_lives)
    leadership = lead(ledger, jobs, clock, log, identity, surroundings, succession)
    log.event("startup", ok=True, pid=os.getpid())
    duties = {"tick": lambda _run: Outcome(State.SUCCEEDED)}
    scheduler = Scheduler(jobs, ledger, engine, clock, log, leadership, duties)
    while not stop.wait(min(scheduler.beat(), 0.2)):
        pass
    while not scheduler.is_idle:
        scheduler.beat(planning=False)
    ledger.end_stint(leadership.lease, "stopped", clock.now())
    ledger.close()
    log.close()


if __name__ == "__main__":
    sys.exit(main(load()))
