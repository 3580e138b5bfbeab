"""What may still start, counted down while runs are chosen."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping

from echopilot_jobs.ledger.facts import Limits


class Room:
    """How many more runs may start, in the engine, of each job and of each group."""

    def __init__(self, limits: Limits, running: dict[str, int]) -> None:
        self._limits = limits
        self._places = limits.places
        self._running = Counter(running)
        self._in_group = Counter[str]()
        for name, count in running.items():
            self._in_group[limits.group_of.get(name, "")] += count

    @property
    def is_none_left(self) -> bool:
        """Whether nothing at all can start any more: then there is no need to look at what waits."""
        return self._places <= 0 and not self._limits.uncounted

    def take(self, name: str) -> bool:
        """Whether one more run of the job may start; if so its place is taken."""
        counted = name not in self._limits.uncounted
        group = self._limits.group_of.get(name, "")
        if counted and self._places <= 0:
            return False
        if self._running[name] >= self._limits.instances.get(name, 1):
            return False
        if group in self._limits.group_limits and self._in_group[group] >= self._limits.group_limits[group]:
            return False
        self._places -= counted
        self._running[name] += 1
        self._in_group[group] += 1
        return True


def by_priority(ready: Iterator[sqlite3.Row], priorities: Mapping[str, int]) -> Iterator[sqlite3.Row]:
    """The rows of each rank with the higher priority first, the oldest first among equals (F61)."""
    if not priorities:  # then nobody has to read them all
        return ready
    return iter(sorted(ready, key=lambda row: (row["rank"], -priorities.get(row["job_name"], 0), row["id"])))
