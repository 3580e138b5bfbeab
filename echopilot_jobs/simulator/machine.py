"""One history as it happens: a machine, its disk, its schedulers, the people at it, and the record of what really was."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from echopilot_jobs.jobs import Job, Registry
from echopilot_jobs.ledger import RENEW_EVERY
from echopilot_jobs.runs import Run
from echopilot_jobs.scheduler.opening import Identity
from echopilot_jobs.simulator.engine import SimEngine
from echopilot_jobs.simulator.faults import Faults
from echopilot_jobs.simulator.histories import History
from echopilot_jobs.simulator.life import RESTART, Life, LockFile, Process
from echopilot_jobs.simulator.people import People
from echopilot_jobs.simulator.store import Disk
from echopilot_jobs.simulator.truth import Defined, Effect, Truth, Turn
from echopilot_jobs.simulator.watch import ROWS_MOST, Watch
from echopilot_jobs.simulator.world import SimClock, World

FIRST_LOOK = 60.0
LOOK_EVERY = 30.0
CALM_MOST = 4500.0  # an unanswered backlog is settled after an hour
BEATS_MOST = 1000
ACTIVE_MOST = 400_000.0


class Machine:
    """Plays one history. `truth` is what the checker may believe; `disk.path` is the ledger it judges."""

    def __init__(self, history: History, folder: Path) -> None:
        self.history = history
        self.world = World(history.began_at, random.Random(f"world:{history.seed}"))
        self.clock = SimClock(self.world)
        self.truth = Truth(history.began_at)
        self.disk = Disk(folder / "ledger.sqlite3", self.world)
        self.watch = Watch(self)
        self.disk.on_commit = self.watch.committed
        self.lock = LockFile()
        self.revision = 1
        self.renew_every = RENEW_EVERY
        self.checkpoint_every = timedelta(0)  # at least so long between two checkpoints, however often one is due
        self._pids = 0
        self._engines: list[SimEngine] = []
        self.beats = 0
        self.jobs: dict[str, Job] = {}
        self.define(*history.jobs)
        self.first = Life(self, "first")
        self.lives = [self.first]
        self.faults = Faults(self, history)
        self.people = People(self, history.intents)
        self._troubles = 0
        self._until = 0.0

    def play(self) -> Truth:
        """Let the history happen, then let it come to rest; returns the record."""
        self.note("begin")
        self.first.start()
        while not (self.faults.over and self.people.over) and not self._is_long():
            self.world.run_until(self.world.active + LOOK_EVERY)
        self._come_to_rest()
        self.truth.ended = self.world.true
        self.watch.looked()
        return self.truth

    def _come_to_rest(self) -> None:
        """Healthy time without a fault, until nothing is left open or long after anything should be."""
        self.world.run_until(self.world.active + FIRST_LOOK)
        while self.beats < 2 * BEATS_MOST and self.world.active < ACTIVE_MOST:
            rested = self._calm > FIRST_LOOK and self.world.active >= self._until
            if rested and (self._calm > CALM_MOST or self.watch.is_quiet()):
                return
            self.world.run_until(self.world.active + LOOK_EVERY)

    @property
    def _calm(self) -> float:
        """For how long a scheduler could work undisturbed."""
        return self.world.true - self.truth.calm_since if self.truth.turns[-1].healthy else 0.0

    def _is_long(self) -> bool:
        return self.beats > BEATS_MOST or len(self.watch.seen.moves) > ROWS_MOST

    # -- what faults do to the whole machine

    def note(self, why: str) -> None:
        """Write down how the world stands now."""
        writable = self.disk.trouble is None and not self.disk.is_held
        healthy = writable and any(life.is_working for life in self.lives)
        last = self.truth.turns[-1] if self.truth.turns else None
        if last is None or (last.offset, last.healthy) != (self.world.offset, healthy) or why == "suspend":
            self.truth.turns.append(Turn(self.world.true, self.world.offset, healthy, why))
            self.truth.calm_since = self.world.true

    def suspend(self, seconds: float) -> None:
        """Close the lid."""
        self.note("suspend")
        self.truth.turns.append(Turn(self.world.true, self.world.offset, False, "suspend"))
        self.world.sleep(seconds)
        self.note("resumed")
        self.truth.calm_since = self.world.true

    def disk_trouble(self, kind: str, seconds: float) -> None:
        """The disk refuses for a while."""
        self._troubles += 1
        number = self._troubles
        self.disk.trouble = kind
        self.note(kind)

        def over() -> None:
            if number == self._troubles:
                self.disk.trouble = None
                self.note(f"{kind} over")

        self.world.after(seconds, over)

    def crash(self, seconds: float, *, power: bool) -> None:
        """The machine goes down, with what the disk had not yet written if the power failed, and boots again."""
        for life in self.lives:
            life.kill(restart=None, reboot=True)
        if power:
            self.disk.lose_power()
            self.watch.power_lost()
        self.world.sleep(seconds)
        self.world.reboot()
        self.lock = LockFile()
        self.note("boot")
        for life in self.lives:
            if not life.is_guest:
                self.world.after(RESTART, life.start)

    def second_stack(self, seconds: float, kind: str) -> None:
        """Somebody starts another stack on the same ledger, for a while: with the lock, beside a deleted one, without."""
        if kind == "lock_deleted":
            self.lock = LockFile()
        guest = Life(self, f"guest{len(self.lives)}", is_guest=True, ignores_lock=kind == "no_lock")
        self.lives.append(guest)
        guest.start()
        self.world.after(seconds, lambda: guest.kill(restart=None))

    def linger(self, seconds: float) -> None:
        """Let the history go on for at least so long, if that is not too long."""
        if 0 < seconds <= 700:
            self._until = max(self._until, self.world.active + seconds + FIRST_LOOK)

    # -- what lives ask of their machine

    def define(self, *jobs: Job) -> None:
        """These definitions are in force for every scheduler that reads them from now on."""
        for job in jobs:
            self.jobs[job.name] = job
            self.truth.defined.append(Defined(self.world.true, job.name, job))

    def remove(self, name: str) -> None:
        """This job is no longer defined."""
        del self.jobs[name]
        self.truth.defined.append(Defined(self.world.true, name, None))

    def registry(self) -> Registry:
        """The definitions in force."""
        return Registry(self.jobs.values(), self.history.group_limits)

    def is_alive(self, owner: str) -> bool:
        """What the kernel knows about an owner."""
        return any(life.process.alive for life in self.lives if life.process and life.process.owner == owner)

    def sweep(self, owner: str) -> int:
        """End what a dead owner's runs left behind; how many processes that were."""
        return sum(engine.sweep() for engine in self._engines if engine.owner == owner)

    def identity(self) -> Identity:
        """Of a process that begins now."""
        self._pids += 1
        return Identity(
            f"{self.world.boot_id}:{self._pids}:{self._pids}", self.world.boot_id, "host", f"r{self.revision}"
        )

    def engine(self, process: Process) -> SimEngine:
        """A new process's engine."""
        self._engines.append(SimEngine(self.world, process, self.history.beasts))
        return self._engines[-1]

    def ring(self) -> None:
        """Somebody queued something: wake every scheduler."""
        for life in self.lives:
            if life.process is not None:
                life.process.ring()

    def reload(self, *, live: bool) -> None:
        """The definitions changed: schedulers take them between two beats, or the first is started again to read them."""
        if not live:
            self.first.terminate(restart=RESTART)
            return
        for life in self.lives:
            if life.process is not None:
                life.process.follow(self.registry())

    def effect_begins(self, process: Process, run: Run) -> Effect:
        """Work begins out in the world."""
        slot = run.slot.epoch_seconds if run.slot else None
        effect = Effect(run.job_name, run.id, run.attempt, slot, process.owner, self.world.true)
        self.truth.effects.append(effect)
        return effect

    def seconds_to_edge(self, dice: random.Random) -> float:
        """How long until the next slot of one of the jobs, within a quarter of an hour."""
        now = self.world.wall()
        near = []
        for job in self.jobs.values():
            with suppress(OverflowError, ValueError):
                due = next(job.trigger.after(now + timedelta(seconds=2)), None)
                if due and due - now < timedelta(minutes=15):
                    near.append((due - now).total_seconds())
        return dice.choice(near) if near else 0.0
