"""Fakes for tests, ours and users': a clock that obeys and a ledger that forgets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from echopilot_jobs.ledger.sqlite import SqliteLedger
from echopilot_jobs.ledger.statements import Sql

A_MORNING = datetime(2026, 3, 2, 7, 59, 30, tzinfo=UTC)


class FakeClock:
    """A clock that moves only when told to. Keeps the promises of `clock.Clock`."""

    def __init__(self, now: datetime = A_MORNING) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._suspended = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def boottime(self) -> float:
        return self._monotonic + self._suspended

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass on all clocks."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def suspend(self, seconds: float) -> None:
        """Let *seconds* pass as on a machine that sleeps: the monotonic clock stands still."""
        self._now += timedelta(seconds=seconds)
        self._suspended += seconds

    def step(self, seconds: float) -> None:
        """Move the wall clock alone, as NTP or an operator does."""
        self._now += timedelta(seconds=seconds)


class MemoryLedger(SqliteLedger):
    """The ledger's own code on a database in memory: the same promises, nothing to clean up, gone with the object.

    One connection serves all threads, so a lock keeps their transactions apart.
    """

    def __init__(self) -> None:
        self._one_at_a_time = threading.RLock()
        self._shared: Sql | None = None
        super().__init__(None)

    @property
    def _sql(self) -> Sql:
        if self._shared is None:
            self._shared = self._open()
        return self._shared

    @contextmanager
    def _writing(self) -> Iterator[Sql]:
        with self._one_at_a_time, super()._writing() as sql:
            yield sql

    @contextmanager
    def _reading(self) -> Iterator[Sql]:
        with self._one_at_a_time, super()._reading() as sql:
            yield sql
