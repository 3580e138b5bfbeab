"""Many histories, on as many processes as there is room for."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from echopilot_jobs.records import record
from echopilot_jobs.simulator import coverage
from echopilot_jobs.simulator.plants import planted
from echopilot_jobs.simulator.play import judge
from echopilot_jobs.simulator.report import trace

CHUNK = 10
PLANT_CAP = 2000


@record(frozen=True)
class Outcome:
    """One history in short: what broke (nothing, it is hoped), how it went if so, and what it exercised."""

    seed: int
    broken: tuple[str, ...]
    trace: str
    features: frozenset[str]


@dataclass
class Tally:
    """What came of many."""

    histories: int = 0
    red: list[Outcome] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.histories += 1
        self.counts.update(outcome.features)
        if outcome.broken:
            self.red.append(outcome)


def one(seed: int, plant: str | None = None) -> Outcome:
    """Play and judge the history of *seed*, with a bug planted if one is named."""
    with planted(plant):
        try:
            verdict = judge(seed)
        except Exception as error:  # a history that cannot even be played is a finding like any other
            words = "".join(traceback.format_exception(error, limit=-6))
            return Outcome(seed, (f"bug: {words}",), words, frozenset())
    told = trace(verdict) if verdict.broken else ""
    return Outcome(seed, tuple(verdict.broken), told, frozenset(coverage.features(verdict)))


def run(
    seeds: Sequence[int], *, plant: str | None = None, processes: int = 1, tell: Callable[[Tally], None] | None = None
) -> Tally:
    """Play the histories of all *seeds*; *tell* is called with what is known so far, now and then."""
    tally = Tally()
    with _outcomes(partial(one, plant=plant), seeds, processes) as outcomes:
        for outcome in outcomes:
            tally.add(outcome)
            if tell is not None and tally.histories % (CHUNK * 10) == 0:
                tell(tally)
    return tally


def first_red(plant: str, cap: int = PLANT_CAP) -> Outcome | None:
    """The first history in which the judge notices a planted bug; None when *cap* of them are not enough."""
    found = (one(seed, plant) for seed in range(cap))
    return next((outcome for outcome in found if outcome.broken), None)


@contextmanager
def _outcomes(work: Callable[[int], Outcome], seeds: Sequence[int], processes: int) -> Iterator[Iterator[Outcome]]:
    if processes < 2:
        yield map(work, seeds)
        return
    # Not a fork: whoever calls may have threads, and a forked child would share their locks.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield pool.map(work, seeds, chunksize=CHUNK)
