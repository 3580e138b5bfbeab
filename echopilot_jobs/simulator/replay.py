"""An outage record played again: what the jobs would have done on a machine that was dark whenever the record is silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.jobs import Job, Registry, slots
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.outages import Outage
from echopilot_jobs.runs import Run, State
from echopilot_jobs.signals.reading import read_signals
from echopilot_jobs.simulator.engine import Beast
from echopilot_jobs.simulator.histories import History
from echopilot_jobs.simulator.life import RESTART
from echopilot_jobs.simulator.machine import Machine
from echopilot_jobs.simulator.play import stage

LINGER = 120.0  # the last probe was not the last thing that happened
WORK = Beast("quick", seconds=20.0)


@dataclass(frozen=True)
class Fate:
    """What became of one slot: when its run began, or why it has none, and in which outage it was missed."""

    slot_at: datetime
    what: str  # ran, caught up, skipped, lost
    run_at: datetime | None = None
    state: State | None = None
    reason: str | None = None
    outage: Outage | None = None


@dataclass(frozen=True)
class Replay:
    """The record in short, and the fate of every slot of one job in it. Moments are aware and in UTC."""

    began_at: datetime
    ended_at: datetime
    alive: timedelta
    outages: int
    fates: tuple[Fate, ...]


def moments_of(path: Path, now: datetime) -> list[float]:
    """The UTC epoch seconds of the records of a log file, in order. Raises `ConfigError` when there are not two of them."""
    found = read_signals([str(path)], path.parent, now.timestamp())
    times = sorted(found.signals[0].line.times) if found.signals else []
    if len(times) < 2:
        why = "; ".join([*found.notes, *(note for facts in found.files for note in facts.notes)])
        raise ConfigError(
            [f"'{path}' tells of fewer than two moments{': ' + why if why else ''}; wanted: a log with times"]
        )
    return times


def replay(alive: Sequence[float], registry: Registry, job_name: str) -> Replay:
    """Live through the record: up while *alive* (epoch seconds of signs of life, ascending), rebooted after every silence.

    A silence is three usual distances or more. What a job does takes about twenty seconds and succeeds.
    """
    dark = list(_silences(alive))
    began_at = EPOCH + timedelta(seconds=alive[0])
    jobs = tuple(registry.values())
    history = History(0, began_at, jobs, {job.name: WORK for job in jobs}, (), (), (), dict(registry.group_limits))
    with stage(history) as machine:
        machine.disk.on_commit = lambda _writer, _tables: None
        machine.first.start()
        for start, end in dark:
            _up_to(machine, start - alive[0] + RESTART)
            machine.crash(end - start - 2 * RESTART, power=False)
        _up_to(machine, alive[-1] - alive[0] + LINGER)
        fates = tuple(_fates(machine, registry[job_name], began_at, EPOCH + timedelta(seconds=alive[-1])))
    lived = alive[-1] - alive[0] - sum(end - start for start, end in dark)
    return Replay(began_at, EPOCH + timedelta(seconds=alive[-1]), timedelta(seconds=lived), len(dark), fates)


def _silences(alive: Sequence[float]) -> Iterator[tuple[float, float]]:
    usual = median(max(late - early, 1.0) for early, late in pairwise(alive))
    return ((early, late) for early, late in pairwise(alive) if late - early >= 3 * usual)


def _up_to(machine: Machine, true: float) -> None:
    machine.world.run_until(max(true - machine.world.asleep, machine.world.active))


def _fates(machine: Machine, job: Job, began_at: datetime, ended_at: datetime) -> Iterator[Fate]:
    ledger = SqliteLedger(machine.disk.path, create=False)
    try:
        span = (began_at, ended_at + timedelta(seconds=1))
        runs = {run.slot.due_at: run for run in ledger.runs_between(*span) if run.slot and run.job_name == job.name}
        skips = [skip for skip in ledger.skips_between(*span) if skip.slot.job_name == job.name]
        gaps = [gap for gap in ledger.gaps_between(*span) if gap.job_name == job.name]
        reasons = {skip.slot.due_at: (skip.reason.value, skip.outage) for skip in skips}
        for slot in slots(job, began_at, ended_at):
            gap = next((gap for gap in gaps if gap.first <= slot.due_at <= gap.last), None)
            if slot.due_at in runs:
                yield _of_run(runs[slot.due_at], ledger)
            elif slot.due_at in reasons or gap is not None:
                reason, outage = reasons.get(slot.due_at) or (gap.reason.value, gap.outage)  # type: ignore[union-attr]
                yield Fate(slot.due_at, "skipped", reason=reason, outage=outage)
            else:
                yield Fate(slot.due_at, "lost")
    finally:
        ledger.close()


def _of_run(run: Run, ledger: SqliteLedger) -> Fate:
    assert run.slot is not None  # nosec B101
    ran = Fate(run.slot.due_at, "ran", run_at=run.started_at, state=run.state)
    if run.origin.value == "schedule":
        return ran
    return replace(ran, what="caught up", outage=ledger.outage_of(run.id))
