"""What a committed pass says in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from echopilot_jobs.context import beside_ours
from echopilot_jobs.engines import Ended, Note
from echopilot_jobs.jobs import Job
from echopilot_jobs.logs import Log
from echopilot_jobs.planner import Plan
from echopilot_jobs.runs import Origin, Run, State
from echopilot_jobs.slots import SkipReason
from echopilot_jobs.stretches import SkippedStretch

if TYPE_CHECKING:
    from echopilot_jobs.scheduler.passdone import PassDone
    from echopilot_jobs.scheduler.timekeeping import Footing

OVERLAPS_TOLD = 3

_MILLISECOND = timedelta(milliseconds=1)

Facts = dict[str, Any]


class Teller:
    """Writes the lines of a pass, and counts slots that met a run of their own job."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._overlaps = Counter[str]()
        self._generation: int | None = None

    def tell(self, done: PassDone) -> None:
        """Everything the pass did, in the order it did it."""
        self._tell_ended(done.ended)
        for item, error in done.refused:
            self._log.event("run.finish_refused", job=item.job.name, run=item.run.id, error=str(error))
        if done.footing is not None:
            self._tell_footing(done.footing)
        for name, failure in done.failed.items():
            self._log.event("job.failed_to_plan", job=name, error=f"{type(failure).__name__}: {failure}")
        for run in done.gave_way:
            self._log.event("run.finished", **_facts(run), error=run.error)
        self._tell_claimed(done.claimed)
        for job, stretch in done.superseded:
            self._tell_stretch(job, stretch, done.footing)
        for job, made in done.plans:
            self._tell_skipped(job, made, done.footing)
        if done.held_until is not None:
            held = sum(run.hold_id is not None for run in done.claimed)
            self._log.event("backlog.held", runs=held, until=done.held_until)
        if done.settled is not None:
            self._log.event("backlog.answered", runs=done.settled.count, answer=done.settled.answer)

    def tell_said(self, note: Note) -> None:
        """What a run wrote to its own log."""
        for said in note.heard.said:
            dropped = {"dropped": said.dropped} if said.dropped else {}
            about = {"job": note.run.job_name, "run": note.run.id, "level": said.level, "message": said.message}
            self._log.event("run.said", **about, **beside_ours(said.fields), **dropped)

    def tell_started(self, runs: Sequence[Run], now: datetime) -> None:
        """An attempt of each begins."""
        self._log.events("run.started", [_began(run, now) for run in runs])

    def _tell_footing(self, footing: Footing) -> None:
        outage = footing.outage
        if outage is not None:
            facts = {"since": outage.since, "until": outage.until, "detail": outage.detail or None}
            self._log.event("outage.recorded", cause=outage.cause.value, **facts)
        if self._generation not in (None, footing.generation):
            self._log.event("clock.stepped", generation=footing.generation, held=footing.held)
        self._generation = footing.generation
        if footing.trusted_from is not None:
            self._log.event("clock.trusted", held_from=footing.trusted_from)

    def _tell_claimed(self, runs: Sequence[Run]) -> None:
        for has_slot, alike in groupby(runs, lambda run: run.slot is not None):
            self._log.events("slot.claimed" if has_slot else "run.queued", [_claimed(run) for run in alike])

    def _tell_skipped(self, job: Job, made: Plan, footing: Footing | None) -> None:
        if made.claims:
            self._overlaps.pop(job.name, None)
        for stretch in made.skipped:
            self._tell_stretch(job, stretch, footing)
        if any(stretch.reason is SkipReason.OVERLAP for stretch in made.skipped):
            self._overlaps[job.name] += 1
            if self._overlaps[job.name] == OVERLAPS_TOLD:
                self._log.event("job.overlapping", job=job.name, count=OVERLAPS_TOLD)

    def _tell_stretch(self, job: Job, stretch: SkippedStretch, footing: Footing | None) -> None:
        facts = {"reason": stretch.reason.value, "count": stretch.count}
        ends = {"first": stretch.first.due_at, "last": stretch.last.due_at}
        cause = footing.outage.cause.value if footing and footing.outage else None
        self._log.event("slot.skipped", job=job.name, **facts, **ends, cause=cause)

    def _tell_ended(self, ended: Sequence[tuple[Ended, Run]]) -> None:
        self._log.events("run.finished", [_done(run) for _, run in ended])
        for item, run in ended:
            if run.job_name == "self_heal" and run.origin is Origin.STARTUP and not run.is_open:
                self._log.event("self_heal_startup", ok=run.state is State.SUCCEEDED, status=item.outcome.http_status)


def _claimed(run: Run) -> Facts:
    slot = {"slot": run.slot.due_at} if run.slot else {}
    return {"job": run.job_name, **slot, "run": run.id, "origin": run.origin}


def _began(run: Run, now: datetime) -> Facts:
    lag = (now - (run.planned_at or (run.slot.due_at if run.slot else run.claimed_at))) / _MILLISECOND
    return {"job": run.job_name, "run": run.id, "attempt": run.attempt, "lag_ms": round(lag)}


def _done(run: Run) -> Facts:
    return {**_facts(run), "ms": run.duration_ms, "error": run.error}


def _facts(run: Run) -> Facts:
    return {"job": run.job_name, "run": run.id, "state": run.state, "attempt": run.attempt}
