"""Bugs in what runs do: overlap, attempts, endings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from echopilot_jobs import backoff, planner
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.ending import Ending
from echopilot_jobs.ledger.sqlite_pass import SqlitePass
from echopilot_jobs.runs import State
from echopilot_jobs.scheduler import loop, opening
from echopilot_jobs.scheduler.loop import Scheduler
from echopilot_jobs.simulator.plants.planting import Patches, planning, plant
from echopilot_jobs.slots import SkipReason

SECOND = timedelta(seconds=1)


# -- overlap and limits


@plant("the overlap rule forgets runs that wait in the queue")
def overlap_ignores_queued(patches: Patches) -> None:
    patches.put(loop, "plan", planning(lambda job, standing, _now: (job, standing._replace(waiting=0))))


@plant("the overlap rule forgets runs that are running")
def overlap_ignores_running(patches: Patches) -> None:
    patches.put(loop, "plan", planning(lambda job, standing, _now: (job, standing._replace(running=0))))


@plant("manual runs do not count as runs of their job")
def manual_not_counted(patches: Patches) -> None:
    patches.sql("running_by_job", r"where runs.state", "where runs.origin <> 'manual' and runs.state")


@plant("second attempts do not count as runs of their job")
def retry_not_counted(patches: Patches) -> None:
    patches.sql("running_by_job", r"where runs.state", "where runs.attempt = 1 and runs.state")


@plant("nobody looks at the limits of groups")
def group_limit_ignored(patches: Patches) -> None:
    patches.put(loop, "_limits", lambda before: lambda registry: replace(before(registry), group_limits={}))


@plant("one more instance than allowed")
def instances_off_by_one(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def limits(registry: Any) -> Any:
            return replace(before(registry), instances={name: job.max_instances + 1 for name, job in registry.items()})

        return limits

    patches.put(loop, "_limits", make)


@plant("under cancel_previous the run before goes on")
def previous_not_cancelled(patches: Patches) -> None:
    patches.put(planner, "_cancels", lambda _before: lambda _job, _claims: False)


@plant("queue_one queues everything")
def queue_one_unbounded(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def room(job: Any, standing: Any, wanted: int) -> Any:
            return (wanted, SkipReason.OVERLAP) if job.overlap == "queue_one" else before(job, standing, wanted)

        return room

    patches.put(planner, "_room", make)


# -- attempts


@plant("runs start before their moment")
def not_before_ignored(patches: Patches) -> None:
    patches.sql("ready", r"\(not_before is null or not_before <= :now\)", "true")


@plant("a run that succeeded is tried again")
def retry_after_success(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def again(item: Any, now: Any, **facts: Any) -> Any:
            if item.outcome.state is State.SUCCEEDED and item.run.attempt <= item.job.retries:
                return now + 2 * SECOND
            return before(item, now, **facts)

        return again

    patches.put(loop, "retry_at", make)


@plant("one attempt more than allowed")
def retries_off_by_one(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def again(item: Any, now: Any, **facts: Any) -> Any:
            return before(item._replace(job=replace(item.job, retries=item.job.retries + 1)), now, **facts)

        return again

    patches.put(loop, "retry_at", make)


@plant("the next attempt follows at once")
def backoff_without_wait(patches: Patches) -> None:
    patches.put(backoff, "delay", lambda _before: lambda *_args, **_facts: timedelta(milliseconds=10))


@plant("nobody heeds how long the other side wants to be left alone")
def retry_after_ignored(patches: Patches) -> None:
    def make(before: Any) -> Any:
        return lambda item, now, **facts: before(
            item._replace(outcome=replace(item.outcome, retry_after=None)), now, **facts
        )

    patches.put(loop, "retry_at", make)


# -- endings


@plant("every end is written down as a success")
def outcome_forged(patches: Patches) -> None:
    def make(before: Any) -> Any:
        return lambda self, ends: before(
            self, [(run, replace(outcome, state=State.SUCCEEDED), None) for run, outcome, _ in ends]
        )

    patches.put(Ending, "finish_all", make)


@plant("a run whose retries gave way to the next slot is told as failed, however its last attempt ended")
def given_up_as_failed(patches: Patches) -> None:
    patches.sql("give_up_retries", r"coalesce\(attempt_end, 'failed'\)", "'failed'")


@plant("under cancel_previous what went wrong before another attempt is told as a cancel")
def given_up_as_cancelled(patches: Patches) -> None:
    patches.sql("give_way", r"state = 'queued' and ", "")

    def make(before: Any) -> Any:
        def make_room(self: Any, job_id: int, plan: Any) -> Any:
            if plan.cancels_previous:
                yield from [self._run(row["id"]) for row in self._sql.rows("give_way", job_id=job_id, now=self._now)]
            yield from before(self, job_id, plan)

        return make_room

    patches.put(SqlitePass, "_make_room", make)


@plant("ends that could not be written at once are forgotten")
def ends_lost_with_the_disk(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def put_off(self: Any, error: LedgerUnavailable, **facts: Any) -> None:
            self._unrecorded.clear()
            before(self, error, **facts)

        return put_off

    patches.put(Scheduler, "_put_off", make)


@plant("runs are declared lost by age, whoever owns them")
def abandoned_by_age(patches: Patches) -> None:
    def make(_before: Any) -> Any:
        def abandon(ledger: Any, now: Any, *_facts: Any) -> Any:
            owners = list(ledger.running_owners())
            old = [run for run in ledger.runs() if run.state is State.RUNNING and now - run.started_at > 20 * SECOND]
            return ledger.abandon_owned_by(owners, now, "too old") if old else []

        return abandon

    patches.put(opening, "abandon_lost", make)


@plant("what a dead scheduler left stays running")
def never_abandoned(patches: Patches) -> None:
    patches.put(opening, "abandon_lost", lambda _before: lambda *_args: [])


@plant("processes that outlived their scheduler are left running")
def orphans_left(patches: Patches) -> None:
    def make(before: Any) -> Any:
        return lambda ledger, now, lives, _sweep: before(ledger, now, lives, lambda _owner: 0)

    patches.put(opening, "abandon_lost", make)


@plant("what was started by a commit whose answer got lost is never begun")
def strays_forgotten(patches: Patches) -> None:
    patches.put(SqlitePass, "strays", lambda _before: lambda _self, _known: [])
