"""An outage record played again: what the jobs would have done on a machine that was dark whenever the record is silent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.jobs import Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.records import record
from echopilot_jobs.signals.reading import read_signals
from echopilot_jobs.simulator.engine import Beast
from echopilot_jobs.simulator.histories import History
from echopilot_jobs.simulator.play import stage
from echopilot_jobs.simulator.rehearsal import Fate, Past, live

WORK = Beast("quick", seconds=20.0)


@record(frozen=True)
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
    dark = [(EPOCH + timedelta(seconds=start), EPOCH + timedelta(seconds=end)) for start, end in _silences(alive)]
    began_at, ended_at = EPOCH + timedelta(seconds=alive[0]), EPOCH + timedelta(seconds=alive[-1])
    jobs = tuple(registry.values())
    history = History(0, began_at, jobs, {job.name: WORK for job in jobs}, (), (), (), dict(registry.group_limits))
    with stage(history) as machine:
        live(machine, dark, began_at, ended_at)
        with contextlib.closing(SqliteLedger(machine.disk.path, create=False)) as ledger:
            fates = tuple(Past(ledger, began_at, ended_at).fates_of(registry[job_name]))
    lived = ended_at - began_at - sum((end - start for start, end in dark), timedelta(0))
    return Replay(began_at, ended_at, lived, len(dark), fates)


def _silences(alive: Sequence[float]) -> Iterator[tuple[float, float]]:
    usual = median(max(late - early, 1.0) for early, late in pairwise(alive))
    return ((early, late) for early, late in pairwise(alive) if late - early >= 3 * usual)
