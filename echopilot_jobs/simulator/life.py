"""The scheduler program of one stack: started, killed, frozen, asked to stop, and started again by its supervisor."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from echopilot_jobs.errors import LeaseHeld, LeaseLost, LedgerUnavailable
from echopilot_jobs.events import encode
from echopilot_jobs.jobs import Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.logs import Log
from echopilot_jobs.runs import Outcome, Run, State
from echopilot_jobs.scheduler.chores import Chores
from echopilot_jobs.scheduler.custody import Custody
from echopilot_jobs.scheduler.loop import Scheduler
from echopilot_jobs.scheduler.opening import Leadership, Succession, Surroundings, lead
from echopilot_jobs.simulator.truth import Effect, Stay
from echopilot_jobs.simulator.world import INSTANT, Killed

if TYPE_CHECKING:
    from echopilot_jobs.simulator.machine import Machine

RESTART = 1.0
LOOK_AGAIN = 1.0
DRAIN = 8.0
LAST_WORDS = 5.0


@dataclass
class LockFile:
    """The file lock two stacks on one folder compete for. The kernel gives it back when its holder dies."""

    holder: Process | None = None

    def take(self, process: Process) -> bool:
        """Whether it is held by *process* now."""
        if self.holder is None or not self.holder.alive:
            self.holder = process
        return self.holder is process


class Life:
    """One program under supervision: at most one process at a time."""

    def __init__(self, machine: Machine, name: str, *, is_guest: bool = False, ignores_lock: bool = False) -> None:
        self.name = name
        self.is_guest = is_guest
        self.ignores_lock = ignores_lock
        self.process: Process | None = None
        self._machine = machine

    def start(self) -> None:
        """The supervisor starts the program, unless it runs."""
        if not self.alive:
            self.process = Process(self._machine, self)
            self.process.wake_in(0.0)

    @property
    def alive(self) -> bool:
        """Whether a process of it exists."""
        return self.process is not None and self.process.alive

    @property
    def is_working(self) -> bool:
        """Whether its process leads and is not frozen."""
        process = self.process
        if process is None or not process.alive or process.is_frozen:
            return False
        return process.leads and self._machine.watch.leader == process.owner

    def ended(self, restart: float | None) -> None:
        """The process is gone; the supervisor starts another after *restart* seconds, unless that is None."""
        self._machine.note(f"{self.name} ended")
        if restart is not None:
            self._machine.world.after(restart, self.start)

    def kill(self, restart: float | None, *, reboot: bool = False) -> None:
        """kill -9."""
        if self.process is not None and self.process.alive:
            self.process.die(reboot=reboot)
            self.ended(restart)

    def terminate(self, restart: float) -> None:
        """SIGTERM, and started again once it is gone."""
        if self.process is not None and self.process.alive:
            self.process.asked_to_stop(restart)


class Process:
    """One process: opens the ledger, leads, beats, and waits as long as the beat said."""

    def __init__(self, machine: Machine, life: Life) -> None:
        self.life = life
        self.alive = True
        self.inside = False  # whether one of its calls is on the stack right now
        self.held_inside = False
        self.stopped_until = 0.0
        self.seed = machine.history.seed
        self.identity = machine.identity()
        self.stay = Stay(self.identity.owner, machine.world.true)
        machine.truth.stays.append(self.stay)
        self.engine = machine.engine(self)
        self.ledger: SqliteLedger | None = None
        self._machine = machine
        self._world = machine.world
        self._log = SimLog(self, machine)
        self._registry = machine.registry()
        self._succession = Succession(machine.clock, self.identity, machine.is_alive)
        self._unreachable = False
        self._leadership: Leadership | None = None
        self._scheduler: Scheduler | None = None
        self._lock = machine.lock
        self._turn = 0
        self._rung = False
        self._chores: Chores | None = None
        self._other: Registry | None = None
        self._restart: float | None = None  # when asked to stop: how soon to start again
        self._drain_until: float | None = None

    @property
    def owner(self) -> str:
        """Boot, pid and start time as one text."""
        return self.identity.owner

    @property
    def leads(self) -> bool:
        """Whether it has become the planner."""
        return self._scheduler is not None

    @property
    def is_frozen(self) -> bool:
        """Whether SIGSTOP holds it. In the middle of a step it goes on only when the world around it has come to a rest."""
        return self.held_inside or self.stopped_until > self._world.active

    def step(self, label: str) -> str | None:
        """Pass one step boundary: here the process may die or freeze. Returns the trouble that meets this step."""
        if not self.alive:
            raise Killed
        trouble = self._machine.faults.on_step(self, label)
        if not self.alive:  # whatever struck, or whatever happened while it was frozen
            raise Killed
        return trouble

    # -- what happens to it

    def die(self, *, reboot: bool = False) -> None:
        """Gone at once: nothing of its code runs any more."""
        self.alive = False
        self.stay.died = self._world.true
        self._machine.disk.let_go(self)
        self.engine.die(everything=reboot)

    def freeze(self, until: float) -> None:
        """SIGSTOP, and SIGCONT when active time reaches *until*."""
        self.stopped_until = max(self.stopped_until, until)
        self._machine.note("stopped")
        self._world.at(until, lambda: self._machine.note("continued"))

    def asked_to_stop(self, restart: float) -> None:
        """SIGTERM."""
        self._restart = restart
        self.ring()

    def follow(self, registry: Registry) -> None:
        """Somebody saved other definitions: take them between two beats."""
        self._other = registry
        self.ring()

    def effect_begins(self, run: Run) -> Effect:
        """Work of its begins out in the world."""
        return self._machine.effect_begins(self, run)

    def ring(self) -> None:
        """Something it waits for happened."""
        if self.inside:
            self._rung = True
        elif self.alive:
            self.wake_in(0.0)

    def wake_in(self, seconds: float) -> None:
        """Its next turn; an earlier appointment is forgotten."""
        self._turn += 1
        turn = self._turn
        self._world.after(seconds, lambda: self._wake(turn))

    def _wake(self, turn: int) -> None:
        if not self.alive or turn != self._turn or self.inside:
            return
        if self.is_frozen:
            self._world.at(max(self.stopped_until, self._world.active + INSTANT), lambda: self._wake(turn))
            return
        self.inside, self._rung = True, False
        try:
            wait = self._guarded()
        finally:
            self.inside = False
        if wait is not None and self.alive:
            self.wake_in(0.0 if self._rung else max(wait, INSTANT))

    def _guarded(self) -> float | None:
        """One turn; None when it was the last."""
        self._machine.beats += 1
        self._world.spend(INSTANT)
        try:
            return self._one_turn()
        except Killed:
            return None
        except (LeaseLost, LedgerUnavailable) as error:
            self._machine.truth.log.append((self._world.true, self.owner, "exit", {"error": str(error)}))
        except Exception:  # whatever no promise foresees is a finding
            self._machine.truth.bugs.append((self._world.true, traceback.format_exc(limit=-6)))
        self._exit(RESTART)
        return None

    def _exit(self, restart: float | None) -> None:
        """End in order: the connections are closed, the children end with their parent."""
        if self.ledger is not None:
            self.ledger.close()
        self.die()
        self.life.ended(None if self.life.is_guest else restart)

    # -- what it does

    def _one_turn(self) -> float | None:
        if self._scheduler is None or self.ledger is None:
            if self._restart is not None:
                self._exit(self._restart)
                return None
            return self._open()
        if self._restart is not None:
            return self._wind_up(self._scheduler, self.ledger, self._restart)
        if self._lock is not self._machine.lock and not self.life.ignores_lock:  # it was deleted (F47)
            self.engine.cancel_all()
            self._exit(RESTART)
            return None
        seconds = self._scheduler.beat()
        if self._other is not None and self._scheduler.adopt(self._other):
            self._registry, self._other = self._other, None
            if self._chores is not None:
                self._chores.adopt(self._registry)
            return 0.0
        if self._chores is not None:
            self._chores.do_due(seconds)
        return seconds

    def _open(self) -> float:
        """Stand by for the lock and the lease, then lead."""
        machine = self._machine
        if not self.life.ignores_lock and not machine.lock.take(self):
            return LOOK_AGAIN
        self._lock = machine.lock
        surroundings = Surroundings(machine.is_alive, machine.sweep)
        try:
            if self.ledger is None:
                self.ledger = SqliteLedger(machine.disk.path, connector=machine.disk.connector(self))
            self._leadership = lead(
                self.ledger,
                self._registry,
                machine.clock,
                self._log,
                self.identity,
                surroundings,
                self._succession,
                unreachable=self._unreachable,
            )
        except (LedgerUnavailable, LeaseHeld) as error:
            self._unreachable |= isinstance(error, LedgerUnavailable)
            return LOOK_AGAIN
        self._log.event("startup", ok=True, pid=1)
        self._scheduler = Scheduler(
            self._registry,
            self.ledger,
            self.engine,
            machine.clock,
            self._log,
            self._leadership,
            {"tick": self._tick},
            renew_every=machine.renew_every,
        )
        machine.note("leads")
        custody = cast(Custody, _Caretaker(self.ledger, machine))
        self._chores = Chores(self.ledger, self._registry, custody, machine.clock, self._log, surroundings)
        return 0.0

    def _wind_up(self, scheduler: Scheduler, ledger: SqliteLedger, restart: float) -> float | None:
        """Plan no more, drain, end what is left, record it, give the lease back (I25)."""
        if self._drain_until is None:
            self._drain_until = self._world.active + DRAIN
        wait = scheduler.beat(planning=False)
        left = self._drain_until - self._world.active
        if not scheduler.is_idle and left > 0:
            return min(wait, left)
        if self.engine.busy and left > -LAST_WORDS:
            self.engine.cancel_all()
            return 0.5
        assert self._leadership is not None  # nosec B101
        ledger.end_stint(self._leadership.lease, "stopped", self._machine.clock.now())
        self._exit(restart)
        return None

    def _tick(self, run: Run) -> Outcome:
        """The inline duty: an effect that begins and ends in the scheduler itself."""
        effect = self.effect_begins(run)
        self._world.spend(INSTANT)
        effect.ended, effect.said, effect.known = self._world.true, "ok", True
        self.step("tick")
        return Outcome(State.SUCCEEDED)


class _Caretaker:
    """What the chores ask of `Custody`, without the care for a file that is a real one of no importance here."""

    def __init__(self, ledger: SqliteLedger, machine: Machine) -> None:
        self._ledger = ledger
        self._world = machine.world
        self._every = machine.checkpoint_every.total_seconds()
        self._from = 0.0

    def checkpoint(self) -> None:
        """As `Custody` does it, though no more often than the machine says."""
        if self._world.active >= self._from:
            self._ledger.checkpoint()
            self._from = self._world.active + self._every


class SimLog(Log):
    """Where events go: into the record, each after a step at which the process may die."""

    def __init__(self, process: Process, machine: Machine) -> None:
        self._process = process
        self._machine = machine

    def event(self, name: str, **facts: Any) -> None:
        self._process.step("log")
        encode(name, facts, self._machine.clock.now())  # a name or a value that cannot be logged is a bug
        self._machine.truth.log.append((self._machine.world.true, self._process.owner, name, facts))

    @contextmanager
    def batch(self) -> Iterator[None]:
        yield
