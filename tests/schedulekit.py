"""Short ways for tests to lead, to pass and to skip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from echopilot_jobs.clock import Clock
from echopilot_jobs.jobs import Job, Registry
from echopilot_jobs.ledger import Ledger, Limits, Pass
from echopilot_jobs.logs import Log
from echopilot_jobs.outages import Reading
from echopilot_jobs.planner import Claim, Plan, Standing, plan
from echopilot_jobs.runs import Origin, Run
from echopilot_jobs.scheduler.opening import Identity, Leadership, Succession, Surroundings, lead
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.stretches import GAP_ABOVE, SkippedStretch

PLACES = Limits(9)


def reading(now: datetime) -> Reading:
    """All clocks of a machine that booted at the epoch and never slept."""
    return Reading(now, now.timestamp(), now.timestamp(), "boot")


def begin(
    ledger: Ledger,
    registry: Registry,
    clock: Clock,
    log: Log,
    owner: str = "boot:1:1",
    announce: Callable[[Job, Run], None] = lambda _job, _run: None,
) -> Leadership:
    """Lead as the process *owner*; every process before it is dead."""
    identity = Identity(owner, owner.split(":", maxsplit=1)[0], "host", "rev")
    surroundings = Surroundings(lives=owner.__eq__, sweep=lambda _owner: 0, announce=announce)
    return lead(ledger, registry, clock, log, identity, surroundings, Succession(clock, identity, owner.__eq__))


def standing(leading: Pass, job: Job) -> Standing:
    """What is known of one job."""
    return leading.standings([job])[job.name]


def dispose(leading: Pass, job: Job, made: Plan) -> list[Run]:
    """Write one job's plan."""
    leading.standings([job])
    return leading.dispose([(job, made)]).claimed


def plan_all(leading: Pass, jobs: Sequence[Job], now: datetime) -> list[Run]:
    """One pass over *jobs*, as the scheduler makes it."""
    known = leading.standings(jobs)
    return leading.dispose([(job, plan(job, known[job.name], now)) for job in jobs]).claimed


def claim(slot: Slot, origin: Origin = Origin.SCHEDULE) -> Claim:
    """A claim without jitter."""
    return Claim(slot, origin, slot.due_at)


def stretch(reason: SkipReason, slots: Sequence[Slot]) -> SkippedStretch:
    """Skipped slots as the planner hands them on."""
    listed = tuple(slots) if len(slots) <= GAP_ABOVE else ()
    return SkippedStretch(reason, slots[0], slots[-1], len(slots), listed)
