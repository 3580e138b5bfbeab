"""What may still start, counted down while runs are chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from echopilot_jobs.ledger.facts import Limits


class Ready(NamedTuple):
    """One that might start now: by its run's id or, before it has one, its place among the claims of this pass."""

    id: int
    rank: int
    origin: str
    job_name: str


class Room:
    """How many more runs may start, in the engine, of each job and of each group."""

    def __init__(self, limits: Limits, running: dict[str, int]) -> None:
        self._limits = limits
        self._places = limits.places
        self._running = dict(running)
        self._in_group = Counter[str]()
        for name, count in running.items():
            if group := limits.group_of.get(name):
                self._in_group[group] += count

    @property
    def is_none_left(self) -> bool:
        """Whether nothing at all can start any more: then there is no need to look at what waits."""
        return self._places <= 0 and not self._limits.uncounted

    def take(self, name: str) -> bool:
        """Whether one more run of the job may start; if so its place is taken."""
        limits = self._limits
        if self._places <= 0 and name not in limits.uncounted:
            return False
        if self._running.get(name, 0) >= limits.instances.get(name, 1):
            return False
        group = limits.group_of.get(name, "")
        if group in limits.group_limits and self._in_group[group] >= limits.group_limits[group]:
            return False
        self._count(name, 1)
        return True

    def give_back(self, name: str) -> None:
        """One that had taken its place does not start after all."""
        self._count(name, -1)

    def _count(self, name: str, number: int) -> None:
        if name not in self._limits.uncounted:
            self._places -= number
        self._running[name] = self._running.get(name, 0) + number
        if group := self._limits.group_of.get(name):
            self._in_group[group] += number


def by_priority(ready: Iterable[Ready], priorities: Mapping[str, int]) -> Iterable[Ready]:
    """Those of each rank with the higher priority first, the oldest first among equals (F61).

    Without *priorities* they are taken as they come: then nobody has to read them all.
    """
    if not priorities:
        return ready
    return sorted(ready, key=lambda one: (one.rank, -priorities.get(one.job_name, 0), one.id))
