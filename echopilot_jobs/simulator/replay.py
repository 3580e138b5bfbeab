"""An outage record played again: what the jobs would have done on a machine that was dark whenever the record is silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.jobs import Registry
from echopilot_jobs.records import record
from echopilot_jobs.signals.reading import read_signals
from echopilot_jobs.simulator.rehearsal import Dark, Fate, Told, lived


@record(frozen=True)
class Replay:
    """The record in short, and the fate of every slot of one job in it. Moments are aware and in UTC."""

    began_at: datetime
    ended_at: datetime
    alive: timedelta
    dark: tuple[Dark, ...]
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


def replay(alive: Sequence[float], registry: Registry, job_name: str, tell: Told = lambda _share: None) -> Replay:
    """Live through the record: up while *alive* (epoch seconds of signs of life, ascending), rebooted after every silence.

    A silence is three usual distances or more. What a job does takes twenty seconds and succeeds. All jobs live, for they
    share places, pacing and a backlog, and those that come due often only where `glimpses` says. *tell* hears the share done.
    """
    dark = [(EPOCH + timedelta(seconds=start), EPOCH + timedelta(seconds=end)) for start, end in _silences(alive)]
    began_at, ended_at = EPOCH + timedelta(seconds=alive[0]), EPOCH + timedelta(seconds=alive[-1])
    with lived(registry, dark, began_at, ended_at, tell=tell) as fates_of:
        fates = tuple(fates_of(registry[job_name]))
    up = ended_at - began_at - sum((end - start for start, end in dark), timedelta(0))
    return Replay(began_at, ended_at, up, tuple(dark), fates)


def _silences(alive: Sequence[float]) -> Iterator[tuple[float, float]]:
    usual = median(max(late - early, 1.0) for early, late in pairwise(alive))
    return ((early, late) for early, late in pairwise(alive) if late - early >= 3 * usual)
