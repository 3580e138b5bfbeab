"""Reads the ledger after every commit, with statements of its own, and remembers what it saw when."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from echopilot_jobs.records import record

if TYPE_CHECKING:
    from echopilot_jobs.simulator.machine import Machine

RUNS = """select runs.*, jobs.name as job, stints.owner from runs join jobs on jobs.id = runs.job_id
left join stints on stints.id = runs.stint_id where runs.id > ? or runs.id in (select value from json_each(?))"""
SKIPS = (
    "select jobs.name as job, slot_at, generation, reason, decided_at from skips join jobs on jobs.id = skips.job_id"
)
GAPS = """select gaps.id, jobs.name as job, first_at, last_at, count, generation, reason, decided_at
from gaps join jobs on jobs.id = gaps.job_id where gaps.id > ?"""
PAUSES = "select jobs.name as job, since_at, until_at from pauses join jobs on jobs.id = pauses.job_id"
JOBS = "select name, revision, first_seen, planned_through, is_defined from jobs"
LEASE = "select lease.term, stints.owner, stints.ended_at from lease join stints on stints.id = lease.stint_id"
OPEN = ("queued", "running", "retry_wait")
ENDS = ("succeeded", "failed", "timed_out", "cancelled", "abandoned")
ROWS_MOST = 150
Row = dict[str, Any]


@record(frozen=True)
class Sight:
    """One thing seen for the first time: *at* true seconds, when the wall clock showed *wall* (epoch seconds)."""

    at: float
    wall: float
    term: int
    row: Row


@dataclass
class Seen:
    """Everything the watch saw, in order."""

    moves: dict[int, list[Sight]] = field(default_factory=dict)  # run id: every state it was seen in
    skips: list[Sight] = field(default_factory=list)
    gaps: list[Sight] = field(default_factory=list)
    pauses: list[Row] = field(default_factory=list)  # as the ledger has them at the end
    jobs: list[Sight] = field(default_factory=list)  # a job's registration and every new version
    leases: list[Sight] = field(default_factory=list)
    deposed: list[str] = field(default_factory=list)  # writes of schedulers whose term was over
    changed: list[str] = field(default_factory=list)  # terminal rows that changed, rows that vanished

    def runs(self) -> list[Row]:
        """Every run as it was last seen."""
        return [sights[-1].row for sights in self.moves.values()]


class Watch:
    """The witness. Its connection is its own and no step of anybody."""

    def __init__(self, machine: Machine) -> None:
        self.seen = Seen()
        self._machine = machine
        self._db: sqlite3.Connection | None = None
        self._open: set[int] = set()
        self._last_run = self._last_gap = 0
        self._known_skips: set[tuple[Any, ...]] = set()
        self._known_jobs: dict[str, tuple[Any, ...]] = {}
        self._lease: Row = {}
        self._wrote_at: dict[str, float] = {}

    def committed(self, writer: str, tables: set[str]) -> None:
        """Somebody's transaction, which wrote to *tables*, reached the disk: look at what is new there."""
        try:
            self._look(writer, tables)
        except sqlite3.OperationalError:  # before the first migration there is nothing to see
            return
        self._wrote_at[writer] = self._machine.world.true

    def looked(self) -> None:
        """Look at everything once more: have ended runs stayed as they were?"""
        self.seen.pauses = self._rows(PAUSES)
        for row in self._rows(RUNS, 0, "[]"):
            known = self.seen.moves[row["id"]][-1].row if row["id"] in self.seen.moves else None
            if known is None or (known["state"] in ENDS and known != row):
                self.seen.changed.append(f"I6 run {row['id']} was {known and known['state']} and is {row['state']}")

    def power_lost(self) -> None:
        """What was acknowledged must have survived; what was in flight may be gone."""
        self.close()
        try:
            found = {row["id"]: row for row in self._rows(RUNS, 0, "[]")}
        except sqlite3.OperationalError:  # not even the schema survived: nothing had been acknowledged
            found = {}
        lost = [sights[-1] for run, sights in self.seen.moves.items() if found.get(run) != sights[-1].row]
        in_flight = self._machine.disk.last_commit_in_flight_at
        for sight in lost:
            if in_flight is None or sight.at < in_flight:
                self.seen.changed.append(f"I9 run {sight.row['id']} lost its state '{sight.row['state']}'")
            elif sight.row["id"] in self.seen.moves:
                self._forget(sight)
        self._last_run = max(found, default=0)

    @property
    def leader(self) -> str | None:
        """Who holds the lease."""
        return self._lease.get("owner")

    def is_quiet(self) -> bool:
        """Whether what was open when calm began has ended and no clock is on hold, or there is too much to wait for."""
        calm = self._machine.truth.calm_since
        waiting = any(self.seen.moves[run][0].at <= calm for run in self._open)
        held = self._rows(
            "select 1 from generations where held = 1 union all select 1 from holds where answered_at is null"
        )
        return len(self.seen.moves) > ROWS_MOST or not (waiting or held)

    def rows(self, sql: str, *arguments: Any) -> list[Row]:
        """What a statement of the checker's own finds."""
        return self._rows(sql, *arguments)

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _look(self, writer: str, tables: set[str]) -> None:
        if "runs" in tables:
            for row in self._rows(RUNS, self._last_run, json.dumps(sorted(self._open))):
                self._saw_run(row, writer)
        if "gaps" in tables:
            for row in self._rows(GAPS, self._last_gap):
                self._last_gap = row["id"]
                self.seen.gaps.append(self._sight(row))
        if "skips" in tables:
            for row in self._rows(SKIPS):
                self._saw_skip(row)
        if "jobs" in tables:
            for row in self._rows(JOBS):
                self._saw_job(row)
        if tables & {"lease", "stints"}:
            self._saw_lease(self._rows(LEASE))

    def _saw_skip(self, row: Row) -> None:
        key = tuple(row.values())
        if key not in self._known_skips:
            self._known_skips.add(key)
            self.seen.skips.append(self._sight(row))

    def _saw_job(self, row: Row) -> None:
        facts = (row["revision"], row["is_defined"])
        if self._known_jobs.get(row["name"]) != facts:
            self._known_jobs[row["name"]] = facts
            self.seen.jobs.append(self._sight(row))

    def _saw_run(self, row: Row, writer: str) -> None:
        sights = self.seen.moves.setdefault(row["id"], [])
        self._last_run = max(self._last_run, row["id"])
        if sights and sights[-1].row == row:
            return
        sights.append(self._sight(row))
        (self._open.add if row["state"] in OPEN else self._open.discard)(row["id"])
        if writer not in ("web", self._lease.get("owner", writer)):
            self.seen.deposed.append(f"I20 run {row['id']} became '{row['state']}' by '{writer}', not by the leader")

    def _saw_lease(self, found: list[Row]) -> None:
        if found and found[0] != self._lease:
            if found[0]["term"] < self._lease.get("term", 0):
                self.seen.deposed.append(f"I19 the lease went back from term {self._lease['term']}")
            if found[0]["term"] != self._lease.get("term"):
                silent = self._machine.world.true - self._wrote_at.get(self._lease.get("owner", ""), -1e9)
                given = self._lease.get("ended_at") is not None
                self.seen.leases.append(
                    self._sight({**found[0], "before": self._lease.get("owner"), "silent": silent, "given": given})
                )
            self._lease = found[0]

    def _forget(self, sight: Sight) -> None:
        sights = self.seen.moves[sight.row["id"]]
        sights.remove(sight)
        if not sights:
            del self.seen.moves[sight.row["id"]]
            self._open.discard(sight.row["id"])
        else:
            self._open.add(sight.row["id"])

    def _sight(self, row: Row) -> Sight:
        world = self._machine.world
        return Sight(world.true, world.wall().timestamp(), self._lease.get("term", 0), row)

    def _rows(self, sql: str, *arguments: Any) -> list[Row]:
        if self._db is None:
            self._db = sqlite3.connect(self._machine.disk.path, isolation_level=None)
            self._db.row_factory = sqlite3.Row
        return [dict(row) for row in self._db.execute(sql, arguments)]
