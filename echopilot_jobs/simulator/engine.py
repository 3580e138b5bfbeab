"""An engine whose children are entries in the world's record: quick, slow, hanging, raising, orphaned, sulking."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from echopilot_jobs.engines import Ended, Note
from echopilot_jobs.jobs import Job
from echopilot_jobs.records import record
from echopilot_jobs.runs import Outcome, Output, Run, State
from echopilot_jobs.simulator.truth import Effect
from echopilot_jobs.simulator.world import World

if TYPE_CHECKING:
    from echopilot_jobs.simulator.life import Process

PLACES = 8
KILL_GRACE = 4.0
ZOO = ("quick", "slow", "hangs", "raises", "floods", "flaky", "skips", "sulks", "orphan")


@record(frozen=True)
class Beast:
    """What a job's work is like."""

    kind: str = "quick"
    seconds: float = 0.5
    is_steady: bool = False  # takes just that long, where others take from half as long to half as long again


@dataclass
class _Child:
    job: Job
    run: Run
    effect: Effect
    outcome: Outcome
    active_at: float  # when it began: timeouts and durations do not count suspended time, as a monotonic clock does not
    over: bool = False


def work(beast: Beast, job: Job, run: Run, seed: int) -> tuple[float, str, Outcome]:
    """How long this attempt's work takes, what an observer sees at its end, and what the executor would report."""
    dice = random.Random(f"{seed}:{job.name}:{run.id}:{run.attempt}")
    seconds = beast.seconds * (1.0 if beast.is_steady else 0.5 + dice.random())
    ok = Outcome(State.SUCCEEDED, result={"n": run.id}, output=Output(head=f"run {run.id}\n"))
    failed = Outcome(State.FAILED, "it raised", exit_status=1, output=Output(head="trace\n"))
    match beast.kind:
        case "hangs" if dice.random() < 0.7:
            return job.timeout.total_seconds() + dice.random() * 9, "timed_out", Outcome(State.TIMED_OUT, "too long")
        case "raises":
            return seconds, "failed", failed
        case "flaky" if dice.random() < 0.6:
            return seconds, "failed", failed
        case "sulks" if dice.random() < 0.6:
            return seconds, "failed", replace(failed, retry_after=timedelta(seconds=dice.choice([1, 7, 40, 1e7])))
        case "floods":
            return seconds, "ok", replace(ok, output=Output("x" * 500, "y" * 900, 10**9))
        case _:
            return seconds, "ok", ok


class SimEngine:
    """Keeps the promises of `engines.Engine` for one process. Its children die with it, orphans excepted."""

    def __init__(self, world: World, process: Process, beasts: dict[str, Beast]) -> None:
        self.owner = process.owner
        self._world = world
        self._process = process
        self._beasts = beasts
        self._children: dict[int, _Child] = {}
        self._ended: list[Ended] = []

    @property
    def free(self) -> int:
        return PLACES - self.busy

    @property
    def busy(self) -> int:
        return len(self._children) + len(self._ended)

    def submit(self, job: Job, run: Run) -> None:
        self._process.step("submit")
        beast = self._beasts[job.name]
        seconds, said, outcome = work(beast, job, run, self._process.seed)
        child = _Child(job, run, self._process.effect_begins(run), outcome, self._world.active)
        self._children[run.id] = child
        self._world.after(max(seconds, 0.001), lambda: self._ends(child, said))
        self._process.step("submitted")

    def collect(self) -> list[Ended]:
        self._process.step("collect")
        ended, self._ended = self._ended, []
        return ended

    def notes(self) -> list[Note]:
        return []

    def cancel(self, run_id: int) -> None:
        self._process.step("cancel")
        child = self._children.get(run_id)
        if child and self._age(child) < child.job.timeout.total_seconds():  # else it is being ended
            child.outcome = Outcome(State.CANCELLED, "cancelled while it ran", interrupted=True)
            self._world.after(KILL_GRACE / 2, lambda: self._ends(child, "killed"))

    def cancel_all(self) -> None:
        for run_id in list(self._children):
            self.cancel(run_id)

    def die(self, *, everything: bool) -> None:
        """Their scheduler is gone: the kernel ends its children at once, but not what escaped them, unless all ends."""
        for child in self._children.values():
            if not child.over and (everything or self._beasts[child.job.name].kind != "orphan"):
                self._over(child, "killed")
        self._ended.clear()

    def sweep(self) -> int:
        """End what outlived its scheduler; how many those were."""
        left = [child for child in self._children.values() if not child.over]
        for child in left:
            self._over(child, "killed")
        return len(left)

    def _ends(self, child: _Child, said: str) -> None:
        if child.over:
            return
        if child.outcome.interrupted:
            said = "killed"  # asked to leave, it does so; that is no end of its own
        if not self._process.alive:  # an orphan comes to its own end, unseen
            self._over(child, said)
        elif said == "timed_out" and self._process.stopped_until > self._world.active:
            self._world.at(self._process.stopped_until, lambda: self._ends(child, said))  # who should end it is frozen
        else:
            self._over(child, said)
            child.effect.known = True
            child.effect.asked = (child.outcome.retry_after or timedelta(0)).total_seconds()
            if self._children.get(child.run.id) is child:  # never another's, should a run ever be submitted twice
                del self._children[child.run.id]
            ms = round(self._age(child) * 1000)
            self._ended.append(Ended(child.job, child.run, replace(child.outcome, duration_ms=ms)))
            self._process.ring()

    def _age(self, child: _Child) -> float:
        """How many active seconds ago *child* began."""
        return self._world.active - child.active_at

    def _over(self, child: _Child, said: str) -> None:
        child.over = True
        child.effect.ended, child.effect.said = self._world.true, said
