"""Death and failure at every step: one small history of each kind of run, struck at step 1, 2, 3 … to its end, and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from multiprocessing import get_context

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.jobs import Command, Inline, Job
from echopilot_jobs.records import record
from echopilot_jobs.simulator.engine import Beast
from echopilot_jobs.simulator.faults import OFF_DISK, Fault
from echopilot_jobs.simulator.histories import Blow, History, Intent
from echopilot_jobs.simulator.play import judged, steps_of
from echopilot_jobs.triggers import Every

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAYS = timedelta(days=30)
MONTH = Every(DAYS, (NOON + timedelta(seconds=3) - EPOCH) % DAYS)  # one slot, three seconds after the beginning
TEN = Every(timedelta(seconds=10))
WORK = Command(("work",))
KINDS = ("kill", "eio", "full")
RECOVERY = 70  # so many steps after a death the next process has found its feet


def _history(job: Job, beast: str = "quick", *, seconds: float = 0.5, **facts: object) -> History:
    plain = History(1, NOON, (job,), {job.name: Beast(beast, seconds)}, (), (), (), {})
    return replace(plain, **facts)  # type: ignore[arg-type]


def _job(trigger: Every = MONTH, **facts: object) -> Job:
    return Job(name="job", trigger=trigger, action=facts.pop("action", WORK), **facts)  # type: ignore[arg-type]


SCENES: dict[str, History] = {
    "inline": _history(_job(action=Inline("tick"))),
    "success": _history(_job()),
    "failure and retry": _history(_job(retries=2, idempotent=True), "raises"),
    "catching up": _history(
        _job(TEN, catch_up="all", catch_up_window=timedelta(hours=1)),
        faults=(Fault("down", "time", wait=8.0, amount=45.0),),
    ),
    "start-up": _history(_job(on_startup=True)),
    "manual": _history(_job(), intents=(Intent(1.0, "manual_again", "job", 1),)),
    "cancel": _history(_job(), "slow", seconds=20.0, intents=(Intent(5.0, "cancel", "job", 1),)),
    "backfill": _history(_job(), intents=(Intent(1.0, "backfill", "job", 1),)),
    "pause": _history(_job(TEN), intents=(Intent(4.0, "pause", "job", 1),)),
    "next cancels": _history(_job(TEN, overlap="cancel_previous"), "slow", seconds=12.0),
    "clock back": _history(_job(TEN), faults=(Fault("clock_back", "time", wait=14.0, amount=-61.0),)),
    "overtaken": _history(_job(TEN), faults=(Fault("overtaken", "time", wait=8.0, amount=25.0),)),
    "stopped": _history(_job(TEN), "slow", seconds=4.0, faults=(Fault("term", "time", wait=9.0, amount=1.0),)),
}


@record(frozen=True)
class Case:
    """One scene with its blows."""

    scene: str
    blows: tuple[Blow, ...]

    def __str__(self) -> str:
        return f"{self.scene}: " + ", then ".join(f"{blow.kind} at step {blow.step}" for blow in self.blows)

    def broken(self) -> list[str]:
        """Which promises it breaks."""
        return judged(replace(SCENES[self.scene], exact=self.blows)).broken


def cases(scene: str, *, kills: int = 1, refusals: int = 1, pairs: int = 1) -> Iterator[Case]:
    """Blows at every step of the scene and pairs of blows; of each sort every so-manieth.

    Death comes at any step; a disk refuses only where it is asked something. The second blow falls on the recovery.
    """
    labels = steps_of(SCENES[scene])
    for number, label in enumerate(labels, start=1):
        if number % kills == 0:
            yield Case(scene, (Blow(number, "kill"),))
        if number % refusals == 0 and label not in OFF_DISK:
            yield from (Case(scene, (Blow(number, kind),)) for kind in KINDS[1:])
        if label == "committed":
            yield Case(scene, (Blow(number, "lost_reply"),))
    for place, (first, second, kind) in enumerate(product(range(1, len(labels) + 1), range(1, RECOVERY), KINDS)):
        if place % pairs == 0:
            yield Case(scene, (Blow(first, "kill"), Blow(second, kind)))


def every_step(*, whole: bool, processes: int, tell: Callable[[str], None]) -> Iterator[tuple[Case, Sequence[str]]]:
    """Each case that breaks promises, and which, as it is found: of all, or of every single blow and a share of the pairs."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for scene in SCENES:
            tried = list(cases(scene, pairs=1 if whole else 199))
            red = 0
            for case, broken in zip(tried, pool.map(_try, tried, chunksize=50), strict=True):
                if broken:
                    red += 1
                    yield case, broken
            tell(f"{scene}: {len(tried)} cases, {red} red")


def _try(case: Case) -> Sequence[str]:
    return case.broken()
