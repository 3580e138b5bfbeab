"""One scheduler with everything it needs, on a real ledger, under a clock that obeys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from echopilot_jobs.engines import Ended, Note
from echopilot_jobs.jobs import Action, Job, Python, Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.logs import Log
from echopilot_jobs.runs import Outcome, Run, State
from echopilot_jobs.scheduler.loop import Scheduler
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Every
from tests.schedulekit import begin

MINUTE = timedelta(minutes=1)
WORK = Python("somewhere:work")


@dataclass
class Recorder:
    """An engine that takes every run and gives it back when told to."""

    room: int = 8
    taken: list[tuple[Job, Run]] = field(default_factory=list)
    out: list[tuple[Job, Run]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    said: list[Note] = field(default_factory=list)

    @property
    def busy(self) -> int:
        return len(self.out) + len(self.ended)

    @property
    def free(self) -> int:
        return self.room - self.busy

    def submit(self, job: Job, run: Run) -> None:
        self.taken.append((job, run))
        self.out.append((job, run))

    def collect(self) -> list[Ended]:
        ended, self.ended = self.ended, []
        return ended

    def notes(self) -> list[Note]:
        notes, self.said = self.said, []
        return notes

    def cancel(self, run_id: int) -> None:
        stopped = [(job, run) for job, run in self.out if run.id == run_id]
        self.out = [(job, run) for job, run in self.out if run.id != run_id]
        self.ended += [Ended(job, run, Outcome(State.CANCELLED, interrupted=True)) for job, run in stopped]

    def cancel_all(self) -> None:
        self.end_all(State.CANCELLED, interrupted=True)

    def end_all(self, state: State = State.SUCCEEDED, *, interrupted: bool = False) -> None:
        self.ended += [Ended(job, run, Outcome(state, interrupted=interrupted)) for job, run in self.out]
        self.out.clear()


@dataclass
class Diary(Log):
    """A log that remembers."""

    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def event(self, name: str, **facts: Any) -> None:
        self.lines.append((name, facts))

    def names(self) -> list[str]:
        return [name for name, _ in self.lines]


@dataclass
class World:
    """One scheduler with everything it needs."""

    ledger: SqliteLedger
    clock: FakeClock
    engine: Recorder = field(default_factory=Recorder)
    log: Diary = field(default_factory=Diary)
    ticks: int = 0
    announced: list[tuple[int, State]] = field(default_factory=list)

    def scheduler(
        self, *jobs: Job, owner: str = "b:1:1", engine: Recorder | None = None, limits: dict[str, int] | None = None
    ) -> Scheduler:
        registry = Registry(jobs, limits)
        leadership = begin(self.ledger, registry, self.clock, self.log, owner, self._hear)
        duties = {"tick": self._tick}
        return Scheduler(
            registry,
            self.ledger,
            engine or self.engine,
            self.clock,
            self.log,
            leadership,
            duties,
            announce=self._hear,
        )

    def _hear(self, _job: Job, run: Run) -> None:
        assert self.ledger.run(run.id).state is run.state, "told of before it was written"
        self.announced.append((run.id, run.state))

    def _tick(self, _run: Run) -> Outcome:
        self.ticks += 1
        return Outcome(State.SUCCEEDED)

    def run_for(self, scheduler: Scheduler, seconds: float) -> None:
        """Beat as the process does: wait just as long as the pass says."""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            wait = scheduler.beat()
            self.clock.sleep(min(wait, until - self.clock.monotonic()) if wait else 0.001)


def job(name: str = "j", action: Action = WORK, **limits: Any) -> Job:
    return Job(name=name, trigger=Every(MINUTE), action=action, **limits)


def end_with(world: World, outcome: Outcome) -> None:
    """Everything that is out ends like this."""
    world.engine.ended += [Ended(each, run, outcome) for each, run in world.engine.out]
    world.engine.out.clear()
