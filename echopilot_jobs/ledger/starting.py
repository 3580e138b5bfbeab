"""What starts: chosen from what waits and from what a pass has just claimed, by rank, priority and age, within the limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from echopilot_jobs.clock import to_ms
from echopilot_jobs.holds import Pause
from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger.ending import keep_move
from echopilot_jobs.ledger.facts import Lease, Limits
from echopilot_jobs.ledger.room import Ready, Room, by_priority
from echopilot_jobs.ledger.rows import pause_of, run_of
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.planner import Claim
from echopilot_jobs.runs import Origin, Run, State

RANKS = {Origin.CATCH_UP: 1, Origin.BACKFILL: 2}

Key = tuple[int, int]  # a job's id and the epoch seconds of a slot
Wanted = Mapping[Key, tuple[Job, Claim]]


class Starting:
    """Inside the transaction that *sql* is in, at the moment *at*. A pass has one room, whoever takes places in it."""

    def __init__(self, sql: Sql, lease: Lease, at: datetime) -> None:
        self._sql = sql
        self._lease = lease
        self._at = at
        self._now = to_ms(at)
        self._room: Room | None = None

    def of_claims(self, wanted: Wanted, limits: Limits) -> set[Key]:
        """Which of the claims may start at once. None while anything else waits: that is chosen from together."""
        if not wanted or self._sql.maybe("first_ready", now=self._now) is not None:
            return set()
        keys = [*wanted]
        ready = [
            Ready(number, RANKS.get(claim.origin, 0), claim.origin, job.name)
            for number, (job, claim) in enumerate(wanted.values())
            if claim.not_before is None or claim.not_before <= self._at
        ]
        ready.sort(key=lambda one: one.rank)
        return {keys[number] for number in self._choose(by_priority(ready, limits.priorities), limits)}

    def give_back(self, job_name: str) -> None:
        """One of `of_claims` does not start after all."""
        if self._room is not None:
            self._room.give_back(job_name)

    def ready(self, limits: Limits, known: Mapping[int, Run]) -> list[Run]:
        """Start what may start; *known* are runs that need not be read again."""
        waiting = (Ready(*row) for row in self._sql.each("ready", now=self._now))
        chosen = self._choose(by_priority(waiting, limits.priorities), limits)
        if not chosen:
            return []
        started = [
            self.started(known.get(run_id) or run_of(self._sql.one("run_by_id", run_id=run_id))) for run_id in chosen
        ]
        place = {"now": self._now, "stint_id": self._lease.stint_id, "term": self._lease.term}
        self._sql.together("start", [run.id for run in started], **place)
        for run in started:
            if run.attempt > 1:
                keep_move(self._sql, run, self._now)
                self._sql.do("forget_progress", run_id=run.id)
                self._sql.do("forget_output", run_id=run.id)
        return started

    def _choose(self, ready: Iterable[Ready], limits: Limits) -> list[int]:
        """The ids of those that may start, as long as there is room for any."""
        paused: set[str] | None = None
        chosen: list[int] = []
        for one in ready:
            if self._room is None:  # asked for only when something is ready at all
                self._room = Room(limits, {row["name"]: row["running"] for row in self._sql.rows("running_by_job")})
            if paused is None:
                paused = {pause.job_name for pause in self._active_pauses()}
            if self._room.is_none_left:
                break
            if one.job_name in paused and one.origin != Origin.MANUAL:
                continue
            if self._room.take(one.job_name):
                chosen.append(one.id)
        return chosen

    def started(self, run: Run) -> Run:
        """The run as it is once its next attempt has begun."""
        lease = self._lease
        return run.changed(
            state=State.RUNNING,
            attempt=run.attempt + 1,
            started_at=run.started_at or self._at,
            not_before=None,
            duration_ms=None,  # the figures of the attempt before
            exit_status=None,
            http_status=None,
            attempt_end=None,
            owner=lease.owner,
            host=lease.host,
            code_revision=lease.code_revision,
        )

    def _active_pauses(self) -> list[Pause]:
        rows = self._sql.rows("pauses", after=self._now, job_name=None)
        return [pause for row in rows if (pause := pause_of(row)).covers(self._at)]
