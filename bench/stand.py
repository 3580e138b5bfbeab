"""The real scheduler on a real ledger, set up to be measured: the loop, its log and its waiter, and a no-op to run.

`Stand` is what the other scripts drive. As a program it serves one load and prints what it saw:
`python bench/stand.py LOAD [--profile FILE]`.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kit
from loads import LOADS, Load

from echopilot_jobs.clock import Clock, SystemClock
from echopilot_jobs.engines import Ended, Note
from echopilot_jobs.jobs import Job, Registry, planned_at
from echopilot_jobs.ledger import Lease, SqliteLedger
from echopilot_jobs.logs import SchedulerLog
from echopilot_jobs.processes import this_process
from echopilot_jobs.runs import Outcome, Run, State
from echopilot_jobs.scheduler.loop import Scheduler
from echopilot_jobs.scheduler.opening import Identity, Leadership, Succession, Surroundings, lead
from echopilot_jobs.scheduler.process import collect_seldom
from echopilot_jobs.slots import Slot
from echopilot_jobs.wake import Waiter

CHORES_SECONDS = 15.0


FILL = """
insert into runs (job_id, origin, state, slot_at, generation, attempt, claimed_at, started_at, finished_at, duration_ms,
                  stint_id)
with recursive n (i) as (select 1 union all select i + 1 from n where i < :runs)
select (select id from jobs where name = :job), 'schedule', 'succeeded', :newest - (:runs - i) * 60, 0, 1,
       (:newest - (:runs - i) * 60) * 1000, (:newest - (:runs - i) * 60) * 1000, (:newest - (:runs - i) * 60) * 1000, 0,
       (select max(id) from stints)
from n
"""


def count_runs(path: Path) -> int:
    """How many runs the ledger at *path* holds."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        return int(db.execute("select count(*) from runs").fetchone()[0])


def fill(path: Path, job: str, runs: int, newest: int) -> float:
    """Give the ledger at *path* a history of *job*, a run a minute up to *newest* (epoch seconds); its size in MB."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(FILL, {"job": job, "runs": runs, "newest": newest})
        db.execute("pragma wal_checkpoint(truncate)").fetchone()
    return path.stat().st_size / 1e6


class Ledger(SqliteLedger):
    """The ledger itself, and when its last pass was committed."""

    committed_at = 0.0
    passes = 0

    @contextlib.contextmanager
    def leading(self, lease: Lease, now: datetime) -> Iterator[Any]:
        with super().leading(lease, now) as leading:
            yield leading
        self.committed_at = time.time()
        self.passes += 1


class Told(SchedulerLog):
    """The log itself, and which slots it told of as claimed, with the moment of their commit."""

    def __init__(self, path: Path, clock: Clock, console: Any, ledger: Ledger) -> None:
        self._ledger = ledger
        self.claimed: list[tuple[str, datetime, float]] = []
        super().__init__(path, clock, console)

    def events(self, name: str, each: Sequence[Mapping[str, Any]]) -> None:
        if name == "slot.claimed":
            self.claimed += [(facts["job"], facts["slot"], self._ledger.committed_at) for facts in each]
        super().events(name, each)


class NoEngine:
    """Takes nothing: every job of a bench is carried out by the scheduler itself."""

    busy = 0
    free = 4

    def submit(self, job: Job, run: Run) -> None:
        raise AssertionError(f"run {run.id} of '{job.name}' needs no engine")

    def collect(self) -> list[Ended]:
        return []

    def notes(self) -> list[Note]:
        return []

    def cancel_all(self) -> None:
        pass


DONE = Outcome(State.SUCCEEDED)


def nothing(_run: Run) -> Outcome:
    """The work of every job."""
    return DONE


class Stand:
    """One life of the scheduler in *folder*, whose past it takes over."""

    def __init__(self, folder: Path, jobs: Iterable[Job], clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.registry = Registry(jobs)
        self.ledger = Ledger(folder / "ledger.sqlite3")
        console = Path("/dev/null").open("w", encoding="ascii")  # noqa: SIM115  # as long as the log
        self.log = self._open_log(folder / "scheduler.log", console)
        self.leadership = self._lead()
        duties = {"nothing": nothing}
        self.scheduler = Scheduler(
            self.registry, self.ledger, NoEngine(), self.clock, self.log, self.leadership, duties
        )
        collect_seldom()

    def _open_log(self, path: Path, console: Any) -> SchedulerLog:
        return SchedulerLog(path, self.clock, console)

    def _lead(self) -> Leadership:
        owner = this_process()
        identity = Identity(str(owner), owner.boot_id, "bench", "bench")
        gone = Surroundings(lives=lambda _owner: False, sweep=lambda _owner: 0)
        succession = Succession(self.clock, identity, gone.lives)
        return lead(self.ledger, self.registry, self.clock, self.log, identity, gone, succession)

    def end(self) -> None:
        """Stop in order."""
        self.ledger.end_stint(self.leadership.lease, "stopped", self.clock.now())
        self.close()

    def close(self) -> None:
        """Stop as a crash does: nothing is said."""
        self.log.close()
        self.ledger.close()


class Watched(Stand):
    """One whose claims are kept with the moment of their commit."""

    log: Told

    def _open_log(self, path: Path, console: Any) -> Told:
        return Told(path, self.clock, console, self.ledger)


def serve(stand: Stand, folder: Path, until: float) -> dict[str, int]:
    """The process's own loop until a moment of the wall clock; how many passes, waits and commits that took."""
    waiter = Waiter(folder / "wake")
    passes, waits, chores_at = 0, 0, time.monotonic() + CHORES_SECONDS
    try:
        while (left := until - time.time()) > 0:
            seconds = stand.scheduler.beat()
            passes += 1
            if time.monotonic() >= chores_at:
                chores_at = time.monotonic() + CHORES_SECONDS
                stand.ledger.checkpoint()
            if seconds:
                waits += 1
                waiter.wait(min(seconds, left))
    finally:
        waiter.close()
    return {"passes": passes, "waits": waits, "commits": stand.ledger.passes}


def lateness(stand: Watched, moments: dict[str, list[float]]) -> dict[str, Any]:
    """Milliseconds from each planned moment to the commit of its claim; what was never claimed, or twice."""
    late, seen = [], set()
    doubled = 0
    wanted = {(name, due) for name, dues in moments.items() for due in dues}
    for name, slot, committed in stand.log.claimed:
        due = planned_at(stand.registry[name], Slot(name, slot)).timestamp()
        if (name, due) in wanted:
            doubled += (name, due) in seen
            seen.add((name, due))
            late.append(round((committed - due) * 1000, 3))
    return {"ms": late, "missed": len(wanted - seen), "doubled": doubled}


def main(load: Load, folder: Path, profile: str | None) -> None:
    """Serve one load from a fresh ledger."""
    start = int(time.time()) + load.lead_in
    stand, moments = Watched(folder, load.make(start)), load.moments(start)
    stand.scheduler.beat()
    began = datetime.now(UTC).timestamp()
    if began > start:
        raise SystemExit(f"registering {load.jobs} jobs took {began - start:.1f} s too long")
    watch = cProfile.Profile()
    if profile:
        watch.enable()
    counts = serve(stand, folder, start + load.seconds + 2.5)
    if profile:
        watch.disable()
        watch.dump_stats(profile)
    print(json.dumps({**lateness(stand, moments), **counts, "ready_before_start_s": round(start - began, 1)}))
    stand.end()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("load")
    parser.add_argument("--profile")
    arguments = parser.parse_args()
    with kit.folder() as home:
        main(LOADS[arguments.load], home, arguments.profile)
