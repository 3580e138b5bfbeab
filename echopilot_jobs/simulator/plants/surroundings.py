"""Bugs around the runs: the lease, people, the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from echopilot_jobs.ledger import connection, sqlite_reading
from echopilot_jobs.ledger.sqlite import SqliteLedger
from echopilot_jobs.ledger.sqlite_pass import SqlitePass
from echopilot_jobs.ledger.starting import Starting
from echopilot_jobs.pump import Pump
from echopilot_jobs.scheduler import loop
from echopilot_jobs.scheduler.opening import Succession
from echopilot_jobs.simulator import store
from echopilot_jobs.simulator.plants.planting import Patches, planning, plant

SECOND = timedelta(seconds=1)


# -- the lease


@plant("a newcomer takes the lease from a scheduler that lives")
def lease_taken_from_the_living(patches: Patches) -> None:
    patches.put(Succession, "may_follow", lambda _before: lambda _self, _stint: True)


@plant("the beat is not written")
def beat_not_written(patches: Patches) -> None:
    patches.sql("renew", r"set beat_at = :now", "set beat_at = beat_at")
    patches.sql("renew", r"where", "where :now is not null and")


@plant("a deposed scheduler's writes are taken")
def term_not_proved(patches: Patches) -> None:
    patches.sql("holds_lease", r"where .*", "where :term is not null")
    for name in ("claim", "skip", "gap", "start", "finish"):
        patches.sql(name, r"exists \(select 1 from lease where term = :term\)", ":term is not null")


@plant("the start-up run is queued twice")
def startup_twice(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def request(self: Any, name: str, origin: Any, key: str) -> Any:
            before(self, name, origin, f"{key}:again")
            return before(self, name, origin, key)

        return request

    patches.put(SqlitePass, "request", make)


@plant("a jobs file saved beside a living scheduler is not adopted")
def saved_file_ignored(patches: Patches) -> None:
    patches.put(loop.Scheduler, "adopt", lambda _before: lambda _self, _registry: True)


@plant("a job that changed while the scheduler lives keeps its old wake-up")
def old_wake_ups_kept(patches: Patches) -> None:
    patches.put(Pump, "replace", lambda _before: lambda _self, _jobs, _now: [])


# -- pauses and people


@plant("the planner does not know of pauses")
def pause_ignored_by_planner(patches: Patches) -> None:
    patches.put(loop, "plan", planning(lambda job, standing, _now: (job, standing._replace(pauses=()))))


@plant("runs of a paused job start nevertheless")
def pause_ignored_at_start(patches: Patches) -> None:
    patches.put(Starting, "_active_pauses", lambda _before: lambda _self: [])


@plant("disabled jobs run")
def disabled_ignored(patches: Patches) -> None:
    patches.put(loop, "plan", planning(lambda job, standing, _now: (replace(job, enabled=True), standing)))


@plant("the same key makes another run")
def request_key_ignored(patches: Patches) -> None:
    def make(before: Any) -> Any:
        return lambda self, name, now, **facts: before(self, name, now, **{**facts, "request_key": None})

    patches.put(SqliteLedger, "request_run", make)
    patches.sql("waiting_request", r"where", "where false and")


@plant("manual runs never start")
def manual_never_started(patches: Patches) -> None:
    patches.sql("ready", r"where", "where runs.origin <> 'manual' and")


@plant("cancelling a run that waits does nothing but say so")
def cancel_without_effect(patches: Patches) -> None:
    patches.sql("cancel", r"set state = 'cancelled', finished_at = :now, not_before = null,", "set")


# -- the disk


@plant("commits are not waited for: synchronous=normal")
def synchronous_normal(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def connect(path: Any, *, create: bool) -> Any:
            db = before(path, create=create)
            db.execute("pragma synchronous=normal").close()
            return db

        return connect

    patches.put(store, "connect", make)


@plant("an error at commit is swallowed")
def commit_error_swallowed(patches: Patches) -> None:
    @contextmanager
    def careless(db: Any) -> Iterator[None]:
        with connection.readable_errors("written"):
            db.execute("begin immediate")
            try:
                yield
            except BaseException:
                if db.in_transaction:
                    db.execute("rollback")
                raise
            try:
                db.execute("commit")
            except sqlite3.OperationalError:
                if db.in_transaction:
                    db.execute("rollback")

    patches.put(sqlite_reading, "transaction", lambda _before: careless)
