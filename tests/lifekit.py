"""A ledger with a past, made by real schedulers on a clock that obeys."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from echopilot_jobs.accounting.audit import Report, audit
from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.scheduler.loop import Scheduler
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Cron, DailyAt, Every, EveryBetween, Until, Weekly
from tests.worldkit import MINUTE, World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TICK = Inline("tick")
# One job of every kind of trigger and a disabled one.
JOBS = (
    Job("minutely", Every(MINUTE), TICK),
    Job("all_of_them", Every(HOUR), TICK, catch_up="all", catch_up_window=12 * HOUR),
    Job("riga", DailyAt(time(10), "Europe/Riga"), TICK),
    Job("weekly", Weekly([0, 2, 4], time(12, 30), "America/New_York"), TICK),
    Job("office_hours", Cron("*/7 8-20 * * *", "America/New_York"), TICK),
    Job("nightly", Cron("15 2 * * 1-5", "Europe/Riga"), TICK),
    Job("spread", Every(5 * MINUTE), TICK, jitter=MINUTE),
    Job("irregular", EveryBetween(4 * MINUTE, 9 * MINUTE), TICK),
    Job("ending", Until(Every(10 * MINUTE), datetime(2026, 3, 3, tzinfo=UTC)), TICK),
    Job("off", Every(10 * MINUTE), TICK, enabled=False),
)


class Life:
    """A ledger with a past: schedulers that lived in it, one after another."""

    def __init__(self, ledger: SqliteLedger, clock: FakeClock) -> None:
        self.world = World(ledger, clock)
        self.ledger, self.clock = ledger, clock
        self._born = 0

    def begin(self, *jobs: Job) -> Scheduler:
        self._born += 1
        return self.world.scheduler(*jobs, owner=f"b:{self._born}:1")

    def go_on(self, scheduler: Scheduler, span: timedelta) -> None:
        """Passes at most fourteen seconds apart: a longer silence would be an outage."""
        until = self.clock.now() + span
        while self.clock.now() < until:
            wait = min(scheduler.beat() or 0.01, 14.0, max((until - self.clock.now()).total_seconds(), 0.01))
            self.clock.sleep(wait if wait < 5 else 14.0)

    def audit(self, **options: object) -> Report:
        return audit(self.ledger, self.clock.now(), **options)  # type: ignore[arg-type]

    def sql(self, statement: str, *values: object) -> int:
        """Damage."""
        with self.ledger._writing() as sql:
            return sql.db.execute(statement, values).rowcount
