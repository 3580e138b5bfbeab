"""The loop's passes on a real ledger under a clock that obeys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from echopilot_jobs.engines import Ended
from echopilot_jobs.errors import LeaseLost, LedgerUnavailable
from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import Origin, Outcome, Run, State
from echopilot_jobs.scheduler.loop import LEDGER_PATIENCE_SECONDS
from echopilot_jobs.scheduler.retrying import retry_at
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Every
from tests.worldkit import MINUTE, WORK, Recorder, World, end_with, job


@pytest.fixture
def world(ledger: SqliteLedger, clock: FakeClock) -> World:
    return World(ledger, clock)


def test_each_slot_runs_once_and_on_time_I1_I3_I16(world: World) -> None:
    scheduler = world.scheduler(job(action=Inline("tick")))

    world.run_for(scheduler, 601)

    runs = world.ledger.runs()
    assert world.ticks == len(runs) == 10
    assert all(run.lateness is not None and timedelta(0) <= run.lateness < timedelta(seconds=0.01) for run in runs)
    assert {run.state for run in runs} == {State.SUCCEEDED}


def test_two_schedulers_run_each_slot_once_and_the_older_one_is_told_I19(world: World) -> None:
    old = world.scheduler(job(), owner="b:1:1", engine=Recorder())
    new = world.scheduler(job(), owner="b:2:2")

    for _ in range(61):
        with pytest.raises(LeaseLost):
            old.beat()
        new.beat()
        world.engine.end_all()
        world.clock.sleep(5)

    slots = [run.slot for _, run in world.engine.taken]
    assert len(slots) == len(set(slots)) == 5


def test_startup_runs_are_queued_once_a_life(world: World) -> None:
    scheduler = world.scheduler(job(action=Inline("tick"), on_startup=True))

    world.run_for(scheduler, 20)

    assert [run.origin for run in world.ledger.runs()] == [Origin.STARTUP]


def test_a_job_that_still_runs_is_not_started_again_and_the_slot_says_overlap_I8(world: World) -> None:
    scheduler = world.scheduler(job())

    world.run_for(scheduler, 200)

    assert len(world.engine.taken) == 1
    skips = world.ledger.skips_between(world.clock.now() - timedelta(hours=1), world.clock.now())
    assert [skip.reason.value for skip in skips] == ["overlap", "overlap"]


def test_a_hanging_job_delays_no_neighbour_I15(world: World) -> None:
    scheduler = world.scheduler(job("hangs"), job("ticks", action=Inline("tick")))

    world.run_for(scheduler, 300)

    assert world.ticks == 5


def test_a_full_engine_leaves_runs_queued_until_there_is_room(world: World) -> None:
    world.engine.room = 1
    scheduler = world.scheduler(job("a"), job("b"))

    world.run_for(scheduler, 31)
    first = [run.job_name for _, run in world.engine.taken]
    world.engine.end_all()
    scheduler.beat()

    assert first == ["a"]
    assert [run.job_name for _, run in world.engine.taken] == ["a", "b"]


def test_what_was_missed_while_down_is_caught_up_after_the_settling_time(world: World) -> None:
    hourly = Job(name="hourly", trigger=Every(timedelta(hours=1)), action=WORK)
    world.run_for(world.scheduler(hourly), 1)
    world.clock.sleep(20 * 60)  # 08:00 passes while nothing runs

    scheduler = world.scheduler(hourly, owner="b:2:2")
    world.run_for(scheduler, 9)
    early = len(world.engine.taken)
    world.run_for(scheduler, 3)

    assert early == 0
    assert [run.origin for _, run in world.engine.taken] == [Origin.CATCH_UP]


def test_a_failed_run_is_tried_again_with_growing_waits_and_then_fails_I17(world: World) -> None:
    scheduler = world.scheduler(Job(name="j", trigger=Every(timedelta(days=1)), action=WORK, retries=2))
    scheduler.beat()
    world.ledger.request_run("j", world.clock.now())

    for _ in range(5):
        world.run_for(scheduler, 30)
        world.engine.end_all(State.FAILED)
    scheduler.beat()

    (run,) = world.ledger.runs()
    assert (run.state, run.attempt) == (State.FAILED, 3)
    assert [run.attempt for _, run in world.engine.taken] == [1, 2, 3]


def test_a_ledger_out_of_reach_loses_no_outcome_and_no_slot_F15(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = world.scheduler(job())
    world.run_for(scheduler, 31)
    world.engine.end_all()

    def refuse(*_args: object) -> None:
        raise LedgerUnavailable("the ledger cannot be written: disk full")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.ledger), "leading", refuse)
        for _ in range(50):
            world.clock.sleep(scheduler.beat())

    world.run_for(scheduler, 31)

    states = [run.state for run in reversed(world.ledger.runs())]
    assert states == [State.SUCCEEDED, State.RUNNING]
    assert world.log.names().count("ledger.unreachable") == 1
    assert "ledger.reachable" in world.log.names()


def test_a_ledger_out_of_reach_for_long_ends_the_process_with_one_clear_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = world.scheduler(job())

    def refuse(*_args: object) -> None:
        raise LedgerUnavailable("gone")

    monkeypatch.setattr(type(world.ledger), "leading", refuse)
    scheduler.beat()
    world.clock.sleep(LEDGER_PATIENCE_SECONDS + 1)

    with pytest.raises(LedgerUnavailable, match="gone"):
        scheduler.beat()


def test_a_ledger_that_is_hidden_is_waited_for_however_long_and_every_slot_is_accounted_for_I2_F18(
    world: World,
) -> None:
    """A next process could not even enter the folder; supervisord would try some times and then no more."""
    scheduler = world.scheduler(job(action=Inline("tick")))
    scheduler.beat()

    for _ in range(int(10 * LEDGER_PATIENCE_SECONDS)):
        world.clock.sleep(scheduler.beat(out_of_reach=LedgerUnavailable("cannot enter the folder")))
    world.run_for(scheduler, 61)

    assert world.log.names().count("ledger.unreachable") == world.log.names().count("ledger.reachable") == 1
    now = world.clock.now()
    accounted = [run.slot for run in world.ledger.runs()] + world.ledger.skips_between(now - timedelta(hours=1), now)
    assert len(accounted) == 11


def test_a_ledger_that_fails_once_it_is_seen_again_has_a_whole_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = world.scheduler(job())
    hidden = LedgerUnavailable("cannot enter the folder")
    for _ in range(int(2 * LEDGER_PATIENCE_SECONDS)):
        world.clock.sleep(scheduler.beat(out_of_reach=hidden))

    def refuse(*_args: object) -> None:
        raise LedgerUnavailable("locked")

    monkeypatch.setattr(type(world.ledger), "leading", refuse)
    for _ in range(int(LEDGER_PATIENCE_SECONDS)):
        world.clock.sleep(scheduler.beat())
    world.clock.sleep(1)

    with pytest.raises(LedgerUnavailable, match="locked"):
        scheduler.beat()


def test_an_outcome_that_cannot_be_written_is_kept_as_long_as_it_takes_I12_F25(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = world.scheduler(job())
    world.run_for(scheduler, 31)
    world.engine.end_all()

    def refuse(*_args: object) -> None:
        raise LedgerUnavailable("locked")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.ledger), "leading", refuse)
        for _ in range(int(2 * LEDGER_PATIENCE_SECONDS)):
            world.clock.sleep(scheduler.beat())
    scheduler.beat()

    assert world.ledger.runs()[-1].state is State.SUCCEEDED


def test_a_job_whose_trigger_breaks_is_passed_over_I15(world: World) -> None:
    class Broken(Every):
        def after(self, moment):  # type: ignore[no-untyped-def]
            if moment > started:
                raise ValueError("no such day")
            return super().after(moment)

    started = world.clock.now()
    broken = Job(name="broken", trigger=Broken(MINUTE), action=WORK)
    scheduler = world.scheduler(broken, job("ticks", action=Inline("tick")))

    world.run_for(scheduler, 190)

    assert ("job.failed_to_plan", {"job": "broken", "error": "ValueError: no such day"}) in world.log.lines
    assert world.ticks == 3


def test_while_stopping_outcomes_are_recorded_and_nothing_new_starts_I25(world: World) -> None:
    scheduler = world.scheduler(job("a"), job("b"))
    world.run_for(scheduler, 31)
    world.clock.sleep(60)

    world.engine.end_all()
    scheduler.beat(planning=False)

    assert {run.state for run in world.ledger.runs()} == {State.SUCCEEDED}
    assert len(world.engine.taken) == 2
    assert scheduler.is_idle


def test_nothing_wakes_the_loop_between_moments_but_the_lease(world: World) -> None:
    scheduler = world.scheduler(Job(name="j", trigger=Every(timedelta(hours=6)), action=WORK))
    scheduler.beat()

    beats = 0
    until = world.clock.monotonic() + 600
    while world.clock.monotonic() < until:
        world.clock.sleep(scheduler.beat())
        beats += 1

    assert beats == 120  # one renewal every five seconds


def test_a_run_that_a_stop_cuts_off_counts_as_one_that_did_not_do_its_work(world: World) -> None:
    scheduler = world.scheduler(job("cut"), job("stopped"))
    world.run_for(scheduler, 31)
    by_job = {run.job_name: run.id for run in world.ledger.runs()}

    world.ledger.cancel(by_job["stopped"], world.clock.now(), "ada")
    world.engine.cancel_all()
    scheduler.beat(planning=False)

    cut, stopped = world.ledger.run(by_job["cut"]), world.ledger.run(by_job["stopped"])
    assert (cut.state, cut.error) == (State.ABANDONED, "cut off: the scheduler was stopped while it ran")
    assert (stopped.state, stopped.error) == (State.CANCELLED, "cancelled by ada")


def test_a_bad_end_of_a_run_that_was_asked_to_stop_says_why_it_is_not_tried_again(world: World) -> None:
    scheduler = world.scheduler(job("stubborn", retries=3))
    world.run_for(scheduler, 31)
    ((_, run),) = world.engine.out

    world.ledger.cancel(run.id, world.clock.now(), "ada")
    end_with(world, Outcome(State.TIMED_OUT, error="ran too long"))
    scheduler.beat(planning=False)

    ended = world.ledger.run(run.id)
    assert (ended.state, ended.error) == (State.TIMED_OUT, "ran too long; not tried again: ada asked it to stop")


def test_an_interrupted_startup_run_is_not_continued_because_the_next_start_brings_its_own(world: World) -> None:
    run = Run(1, "j", Origin.STARTUP, State.RUNNING, world.clock.now(), attempt=1)

    assert (
        retry_at(Ended(job(idempotent=True), run, Outcome(State.CANCELLED, interrupted=True)), world.clock.now())
        is None
    )


@pytest.mark.parametrize(
    ("state", "attempt", "idempotent", "again"),
    [
        (State.FAILED, 1, False, True),
        (State.TIMED_OUT, 1, False, True),
        (State.FAILED, 3, False, False),
        (State.SUCCEEDED, 1, True, False),
        (State.CANCELLED, 3, True, True),
        (State.CANCELLED, 1, False, False),
    ],
)
def test_another_attempt_is_due_only_where_the_job_allows_it(
    world: World, state: State, attempt: int, idempotent: bool, again: bool
) -> None:
    one = job(retries=2, idempotent=idempotent)
    run = Run(1, "j", Origin.SCHEDULE, State.RUNNING, world.clock.now(), attempt=attempt)

    due = retry_at(Ended(one, run, Outcome(state, interrupted=state is State.CANCELLED)), world.clock.now())

    assert (due is not None) == again


def test_a_commit_that_took_effect_and_failed_to_say_so_loses_no_run_F28(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = world.scheduler(job(), job("inline", action=Inline("tick")))
    scheduler.beat()
    world.clock.sleep(31)
    honest = type(world.ledger).leading

    @contextmanager
    def silent(*arguments: Any) -> Iterator[Any]:
        with honest(*arguments) as leading:
            yield leading
        raise LedgerUnavailable("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.ledger), "leading", silent)
        scheduler.beat()
    before = [run.state for run in world.ledger.runs()]
    world.run_for(scheduler, 2)

    assert before == [State.RUNNING, State.RUNNING]
    assert len(world.engine.taken) == 1
    assert world.ticks == 1
    assert {run.job_name: run.state for run in world.ledger.runs()} == {"j": State.RUNNING, "inline": State.SUCCEEDED}


def about_to_be_due(world: World) -> Any:
    """A scheduler of a job of every minute, two milliseconds before its slot."""
    scheduler = world.scheduler(job(action=Inline("tick")))
    world.run_for(scheduler, 29)
    world.clock.sleep(0.998)
    return scheduler


def test_a_pass_is_prepared_before_its_moment_and_committed_when_it_has_come(world: World) -> None:
    moment = world.clock.now() + timedelta(seconds=30)

    scheduler = about_to_be_due(world)
    before = world.clock.now()
    scheduler.beat()

    (run,) = world.ledger.runs()
    assert before < moment == world.clock.now()  # the clock went on inside the pass
    assert (run.claimed_at, run.started_at, run.lateness) == (moment, moment, timedelta(0))


@pytest.mark.parametrize("set_by", [-0.4, -0.002, 1.5])
def test_a_pass_prepared_for_a_moment_that_does_not_come_is_undone_and_the_slot_runs_once(
    world: World, set_by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = world.clock.now() + timedelta(seconds=30)
    scheduler = about_to_be_due(world)
    sleep = world.clock.sleep

    def sleep_while_the_clock_is_set(seconds: float) -> None:
        monkeypatch.setattr(world.clock, "sleep", sleep)
        sleep(seconds)
        world.clock.step(set_by)

    monkeypatch.setattr(world.clock, "sleep", sleep_while_the_clock_is_set)
    scheduler.beat()
    undone = world.ledger.runs()
    world.run_for(scheduler, 20)

    (run,) = world.ledger.runs()
    assert undone == []
    assert run.claimed_at >= moment
    assert run.slot is not None
    assert run.slot.due_at == moment


@pytest.mark.parametrize("frozen_for", [0.011, 0.3, 0.98])
def test_a_pass_that_was_prepared_and_came_late_is_made_again_and_tells_the_truth_I4(
    world: World, frozen_for: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = world.clock.now() + timedelta(seconds=30)
    scheduler = about_to_be_due(world)
    sleep = world.clock.sleep

    def sleep_too_long(seconds: float) -> None:
        monkeypatch.setattr(world.clock, "sleep", sleep)
        sleep(seconds + frozen_for)

    monkeypatch.setattr(world.clock, "sleep", sleep_too_long)
    again = scheduler.beat()
    undone = world.ledger.runs()
    scheduler.beat()

    (run,) = world.ledger.runs()
    assert (again, undone) == (0.0, [])
    assert run.slot is not None
    assert run.slot.due_at == moment
    assert run.claimed_at == run.started_at == moment + timedelta(seconds=frozen_for)


def test_a_ledger_out_of_reach_while_a_pass_is_prepared_costs_no_slot(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = about_to_be_due(world)

    def refuse(*_args: Any) -> Any:
        raise LedgerUnavailable("the disk is full")

    with monkeypatch.context() as trouble:
        trouble.setattr(world.ledger, "leading", refuse)
        scheduler.beat()
    scheduler.beat()  # nudged at once, still before the moment
    world.run_for(scheduler, 2)

    assert len(world.ledger.runs()) == 1
