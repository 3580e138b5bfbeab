"""The scheduler as a process: lock, ledger, lease, loop, orderly stop."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial

from echopilot_jobs.artefacts import discard
from echopilot_jobs.clock import Clock, SystemClock
from echopilot_jobs.engines.local import LocalEngine
from echopilot_jobs.errors import EchoPilotError, LeaseHeld, LeaseLost, LedgerUnavailable
from echopilot_jobs.executor import Executor, OwnWeb
from echopilot_jobs.executor.pings import Pings
from echopilot_jobs.healing import owner_lives
from echopilot_jobs.jobs import Registry
from echopilot_jobs.ledger import Lease, SqliteLedger
from echopilot_jobs.logreading import SCHEDULER_LOG, highest_run, last_event
from echopilot_jobs.logs import SchedulerLog
from echopilot_jobs.processes import (
    become_subreaper,
    die_with_stack,
    end_leftovers,
    take_exit_words,
    this_process,
)
from echopilot_jobs.revision import code_revision
from echopilot_jobs.runs import Outcome, Run, State
from echopilot_jobs.scheduler.chores import Chores
from echopilot_jobs.scheduler.custody import Custody, LedgerGone, LedgerHidden, LedgerRefused
from echopilot_jobs.scheduler.lock import PlannerLock
from echopilot_jobs.scheduler.loop import Scheduler
from echopilot_jobs.scheduler.opening import Identity, Leadership, Succession, Surroundings, lead
from echopilot_jobs.scheduler.reloading import Reloading
from echopilot_jobs.scheduler.standby import LOOK_SECONDS, once_possible, open_lock, stand_by
from echopilot_jobs.scheduler.stopwish import LAST_PINGS_SECONDS, LAST_WORDS_SECONDS, StopWish
from echopilot_jobs.settings import Settings, dashboard_key
from echopilot_jobs.wake import Waiter

REFUSED_LOOK_SECONDS = 10.0


def main(settings: Settings, registry: Registry | None = None) -> int:
    """Run until asked to stop; the exit status. supervisord starts it again whatever that is.

    *registry* stays in force for life; without one the jobs are those of the jobs file, and follow it.
    """
    parent = os.getppid()
    die_with_stack(signal.SIGTERM)
    become_subreaper()
    os.umask(0o077)
    clock = SystemClock()
    stop = StopWish(parent)
    lock = once_possible(lambda: open_lock(settings), stop)
    if lock is None:
        return 0
    this = this_process()
    identity = Identity(str(this), this.boot_id, platform.node(), code_revision())
    if not stand_by(lock, identity.owner, stop):
        return 0
    log = SchedulerLog(settings.logs_dir / SCHEDULER_LOG, clock, console=sys.stdout)
    waiter = once_possible(lambda: Waiter(settings.wake_path), stop)
    if waiter is None:
        log.close()
        lock.close()
        return 0
    try:
        reloading = None
        if registry is None:
            reloading = Reloading(settings, clock, log, waiter.ring)
            registry = reloading.begin()
        return _Process(settings, registry, clock, log, waiter, stop, lock, identity, reloading).run()
    except EchoPilotError as error:
        log.event("scheduler.failed", error=str(error))
        return error.exit_code
    except Exception as error:
        log.event("scheduler.failed", error=f"{type(error).__name__}: {error}")
        raise
    finally:
        waiter.close()
        log.close()
        lock.close()


def collect_seldom() -> None:
    """Set the garbage collector up for a loop: what is there now stays, and no pass need look through it again."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class _Process:
    """Everything one life of the scheduler holds."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        clock: Clock,
        log: SchedulerLog,
        waiter: Waiter,
        stop: StopWish,
        lock: PlannerLock,
        identity: Identity,
        reloading: Reloading | None,
    ) -> None:
        self._settings = settings
        self._reloading = reloading
        self._clock = clock
        self._log = log
        self._waiter = waiter
        self._stop = stop
        self._lock = lock
        told_since = partial(highest_run, settings.logs_dir / SCHEDULER_LOG)
        self._custody = Custody(settings.ledger_path, clock, log, told_since)
        self._pings = Pings(clock)
        self._surroundings = Surroundings(
            lives=owner_lives,
            sweep=end_leftovers,
            discard=lambda path: discard(settings.home, path),
            exit_words=lambda: take_exit_words(settings.var_dir, "scheduler"),
            could_not_write=self._could_not_write,
            announce=self._pings.announce,
        )
        self._identity = identity
        self._ticks = 0
        self._registry = registry
        self._executor = self._make_executor()
        self._engine = LocalEngine(self._executor, waiter.ring)

    def _make_executor(self) -> Executor:
        base_url = f"http://127.0.0.1:{self._settings.port}"
        own_web = OwnWeb(base_url, lambda: dashboard_key(self._settings), stopping=lambda: self._stop.asked)
        return Executor(self._clock, self._identity.owner, own_web, self._settings.home)

    def run(self) -> int:
        """The whole life; the exit status."""
        opened = self._lead()
        if opened is None:
            return 0
        ledger, leadership = opened
        scheduler = Scheduler(
            self._registry,
            ledger,
            self._engine,
            self._clock,
            self._log,
            leadership,
            duties={"tick": self._tick},
            relieve=self._custody.relieve,
            announce=self._pings.announce,
        )
        try:
            if not self._loop(scheduler, ledger):
                return LeaseLost.exit_code
            return self._wind_up(scheduler, ledger, leadership.lease)
        except LeaseLost:
            self._log.event("lease.lost", term=leadership.lease.term)
            self._engine.cancel_all()
            return LeaseLost.exit_code
        except LedgerGone as error:
            self._engine.cancel_all()
            if error.mixed:
                os._exit(error.exit_code)  # an orderly end would close the file, and write our log into the stranger's
            return error.exit_code
        except Exception:
            self._engine.cancel_all()  # this process ends no sooner than its runs
            raise
        finally:
            self._custody.close()

    def _lead(self) -> tuple[SqliteLedger, Leadership] | None:
        """Open the ledger, take the lease and put the past in order, however long a full disk or a lock prevents it.

        Giving up would bring nothing: the next process would stand before the same ledger, and after a few such starts
        supervisord would not start one any more. `/health` is red after its first minute. None when asked to stop first.
        """
        told: set[str] = set()
        pause = LOOK_SECONDS
        succession = Succession(self._clock, self._identity, owner_lives)
        while not self._stop.asked:
            try:
                return self._try_to_lead(succession, unreachable="ledger.unreachable" in told)
            except LedgerRefused as error:
                self._tell_once(told, "ledger.refused", said=str(error))
                pause = REFUSED_LOOK_SECONDS  # each look reads the whole file
            except LedgerUnavailable as error:
                self._tell_once(told, "ledger.unreachable", error=str(error))
            except LeaseHeld as error:
                self._tell_once(told, "scheduler.waiting", holder=str(error))
            self._waiter.wait(pause)
        return None

    def _tell_once(self, told: set[str], event: str, **facts: str) -> None:
        if event not in told:
            told.add(event)
            self._log.event(event, **facts)

    def _try_to_lead(self, succession: Succession, *, unreachable: bool) -> tuple[SqliteLedger, Leadership]:
        ledger = self._custody.open()
        try:
            leadership = lead(
                ledger,
                self._registry,
                self._clock,
                self._log,
                self._identity,
                self._surroundings,
                succession,
                unreachable=unreachable,
            )
            self._custody.led()
        except LedgerUnavailable:
            self._custody.close()
            raise
        self._log.event("startup", ok=True, pid=os.getpid())
        self._log.event("lease.taken", term=leadership.lease.term, owner=self._identity.owner)
        if (before := leadership.before) is not None and before.ended_how is None and not before.lives:
            self._log.event("scheduler.died", last_beat=before.reading.wall, how=before.exit_words or None)
        return ledger, leadership

    def _could_not_write(self, since: datetime) -> bool:
        """Whether the log's last word on the ledger, later than *since*, is that it could not be written."""
        words = ("ledger.unreachable", "ledger.reachable")
        return last_event(self._settings.logs_dir / SCHEDULER_LOG, words, since) == "ledger.unreachable"

    def _tick(self, _run: Run) -> Outcome:
        self._ticks += 1
        self._log.event("tick", tick=self._ticks, next=self._registry.next_times(self._clock.now()))
        return Outcome(State.SUCCEEDED)

    def _tell_pings(self) -> None:
        for news in self._pings.news():
            self._log.event("ping.failed" if news.error else "ping.recovered", job=news.job_name, error=news.error)

    def _loop(self, scheduler: Scheduler, ledger: SqliteLedger) -> bool:
        """Beat until asked to stop; False when this process may not lead any longer."""
        collect_seldom()
        chores = Chores(ledger, self._registry, self._custody, self._clock, self._log, self._surroundings)
        is_settled = False
        while not self._stop.asked:
            # The ledger first: whoever removed the lock may have removed that with it, and then only we still hold it.
            hidden = self._hidden()
            if not self._lock.is_ours:
                self._log.event("lock.lost", path=str(self._lock.path))
                self._engine.cancel_all()
                return False
            seconds = scheduler.beat(out_of_reach=hidden)
            is_settled = is_settled or self._settle()
            self._tell_pings()
            if self._reloading is not None and (other := self._reloading.adopted(scheduler)) is not None:
                self._registry = other
                chores.adopt(other)
                continue
            chores.do_due(seconds)
            if seconds:
                self._waiter.wait(seconds)
        return True

    def _hidden(self) -> LedgerHidden | None:
        """Why nobody can say whether the ledger is still there; None when it is. Raises `LedgerGone`."""
        try:
            self._custody.look()
        except LedgerHidden as error:
            return error
        return None

    def _settle(self) -> bool:
        """What no claim has to wait for; False when the machine has no thread for it: to be asked again."""
        # Out of descriptors, a package half installed: the run that needs it tells.
        with contextlib.suppress(Exception):
            self._executor.get_ready()
        try:
            if self._reloading is not None:
                self._reloading.start()
        except RuntimeError:
            return False
        return True

    def _wind_up(self, scheduler: Scheduler, ledger: SqliteLedger, lease: Lease) -> int:
        """Plan no more, drain, end what is left, record it all, give the lease back (I25)."""
        if self._reloading is not None:
            self._reloading.stop()
        drain = self._stop.drain_seconds
        self._log.event("scheduler.stopping", signal=self._stop.signal, running=self._engine.busy, drain_s=drain)
        drained = self._until_idle(scheduler, lambda: min(self._stop.drain_seconds, drain))
        cut_off_before = self._engine.cut_off
        if not drained:
            self._engine.cancel_all()
            self._until_idle(scheduler, lambda: LAST_WORDS_SECONDS)
        # Asked of the ends: a run may have ended by itself just before it was to be cut off.
        interrupted = self._engine.cut_off - cut_off_before + self._engine.busy
        try:
            ledger.end_stint(lease, "orphaned" if self._stop.is_orphaned else "stopped", self._clock.now())
            self._custody.checkpoint()
        except LedgerGone:
            raise  # that decides how this process may end
        except LedgerUnavailable as error:  # a full disk, say: the lease lapses by itself
            self._log.event("ledger.unreachable", error=str(error))
        # An end that is written and not told would be an alarm about a run that was well.
        self._pings.wait_sent(min(LAST_PINGS_SECONDS, self._stop.drain_seconds))
        self._tell_pings()
        self._log.event("scheduler.stopped", how=self._stop.signal, drained=not interrupted, interrupted=interrupted)
        return 0

    def _until_idle(self, scheduler: Scheduler, seconds: Callable[[], float]) -> bool:
        """Go on recording until nothing runs or *seconds* have passed; whether nothing runs any more."""
        began = self._clock.monotonic()
        while True:
            wait = scheduler.beat(planning=False)
            left = began + seconds() - self._clock.monotonic()
            if scheduler.is_idle or left <= 0:
                return scheduler.is_idle
            self._waiter.wait(min(wait, left))
