"""Which bad ends another attempt may follow, who starts first, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest

from echopilot_jobs.engines import Ended
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.jobs import Command, Job
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import CUT_OFF, Origin, Outcome, Run, State
from echopilot_jobs.scheduler.retrying import is_wanted, retry_at
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Every
from tests.worldkit import World, end_with, job


@pytest.fixture
def world(ledger: SqliteLedger, clock: FakeClock) -> World:
    return World(ledger, clock)


@pytest.mark.parametrize(
    ("retry_on", "outcome", "wanted"),
    [
        ((), Outcome(State.FAILED), True),
        ((), Outcome(State.TIMED_OUT), True),
        (("failed",), Outcome(State.FAILED, exit_status=1), True),
        (("failed",), Outcome(State.TIMED_OUT), False),
        (("timed_out",), Outcome(State.TIMED_OUT), True),
        (("timed_out",), Outcome(State.FAILED), False),
        (("http 503",), Outcome(State.FAILED, http_status=503), True),
        (("http 503",), Outcome(State.FAILED, http_status=502), False),
        (("http 5xx",), Outcome(State.FAILED, http_status=502), True),
        (("http 5xx",), Outcome(State.FAILED, http_status=404), False),
        (("http 5xx",), Outcome(State.FAILED), False),
        (("exit 75",), Outcome(State.FAILED, exit_status=75), True),
        (("exit 75",), Outcome(State.FAILED, exit_status=7), False),
        (("exit 75",), Outcome(State.FAILED), False),
        (("exit 75", "http 4xx"), Outcome(State.FAILED, http_status=429), True),
    ],
)
def test_a_job_that_names_bad_ends_is_tried_again_after_those_alone_I17(
    retry_on: tuple[str, ...], outcome: Outcome, wanted: bool
) -> None:
    assert is_wanted(retry_on, outcome) is wanted


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome(State.FAILED, http_status=503), State.RETRY_WAIT),
        (Outcome(State.FAILED, http_status=404), State.FAILED),
        (Outcome(State.TIMED_OUT), State.TIMED_OUT),
    ],
)
def test_the_loop_tries_again_after_the_named_ends_alone_I17(world: World, outcome: Outcome, state: State) -> None:
    scheduler = world.scheduler(job(retries=3, retry_on=("http 5xx",)))
    world.run_for(scheduler, 61)

    end_with(world, outcome)
    scheduler.beat()

    assert [run.state for run in world.ledger.runs()] == [state]


def test_a_wait_the_other_side_names_ends_with_the_next_slot_F59(world: World) -> None:
    scheduler = world.scheduler(job(retries=3))
    world.run_for(scheduler, 61)

    end_with(world, Outcome(State.FAILED, http_status=429, retry_after=timedelta(hours=1)))
    world.run_for(scheduler, 20)
    waiting = [run.state for run in world.ledger.runs()]
    world.run_for(scheduler, 10)

    assert waiting == [State.RETRY_WAIT]
    assert [run.state for run in world.ledger.runs()] == [State.RUNNING, State.FAILED]
    assert [run.attempt for _, run in world.engine.taken] == [1, 1]


def test_of_those_due_at_one_moment_the_higher_priority_runs_first_F61(world: World) -> None:
    names = {"a_low": -5, "b_plain": 0, "c_high": 7, "d_plain": 0, "e_higher": 90}
    scheduler = world.scheduler(*(job(name, priority=priority) for name, priority in names.items()))
    world.engine.room = 1

    world.run_for(scheduler, 61)
    for _ in names:
        world.engine.end_all()
        scheduler.beat()

    assert [run.job_name for _, run in world.engine.taken] == ["e_higher", "c_high", "b_plain", "d_plain", "a_low"]


# -- who is told


def test_starts_and_ends_are_told_once_they_are_written(world: World) -> None:
    scheduler = world.scheduler(job())

    world.run_for(scheduler, 61)
    world.engine.end_all()
    scheduler.beat()

    assert world.announced == [(1, State.RUNNING), (1, State.SUCCEEDED)]


@pytest.mark.parametrize("overlap", ["skip", "queue_all", "cancel_previous"])
@pytest.mark.parametrize("end", [State.FAILED, State.TIMED_OUT])
def test_a_run_whose_retries_give_way_to_the_next_slot_is_told_of_as_its_last_attempt_ended_I12(
    world: World, end: State, overlap: str
) -> None:
    scheduler = world.scheduler(job(retries=3, overlap=overlap))
    world.run_for(scheduler, 61)

    end_with(world, Outcome(end, error="bad luck", retry_after=timedelta(hours=1)))
    world.run_for(scheduler, 60)

    assert world.announced == [(1, State.RUNNING), (1, State.RETRY_WAIT), (1, end), (2, State.RUNNING)]
    told = [facts for name, facts in world.log.lines if name == "run.finished"]
    assert [facts["state"] for facts in told] == ["retry_wait", end.value]
    assert told[-1]["error"] == "bad luck (no more retries: the next slot came due)"


def test_a_run_that_a_stop_cut_off_and_that_gives_way_before_it_went_on_is_abandoned_I12(world: World) -> None:
    one = job(idempotent=True, retries=3)
    scheduler = world.scheduler(one)
    world.run_for(scheduler, 61)
    world.engine.cancel_all()
    scheduler.beat(planning=False)
    world.clock.sleep(60)

    world.run_for(world.scheduler(one, owner="b:2:2"), 5)

    (lost,) = (run for run in world.ledger.runs() if run.id == 1)
    assert (lost.state, lost.attempt) == (State.ABANDONED, 1)
    assert lost.error == f"{CUT_OFF} (no more retries: the next slot came due)"
    assert (1, State.ABANDONED) in world.announced


def test_a_run_whose_scheduler_died_is_told_of_by_the_next_one(world: World) -> None:
    world.run_for(world.scheduler(job(), owner="b:1:1"), 61)

    world.scheduler(job(), owner="b:2:2")

    assert world.announced == [(1, State.RUNNING), (1, State.ABANDONED)]


def test_nothing_is_told_of_what_could_not_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = world.scheduler(job())
    world.run_for(scheduler, 61)
    world.engine.end_all()

    with monkeypatch.context() as broken:
        broken.setattr(world.ledger, "leading", out_of_reach)
        scheduler.beat()
    before = list(world.announced)
    scheduler.beat()

    assert before == [(1, State.RUNNING)]
    assert world.announced[1:] == [(1, State.SUCCEEDED)]


def out_of_reach(*_args: object) -> NoReturn:
    raise LedgerUnavailable("database is locked")


def test_what_never_came_to_its_work_is_not_tried_again_I17() -> None:
    now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    tried_often = Job(name="j", trigger=Every(timedelta(hours=1)), action=Command(("true",)), retries=3)
    run = Run(1, "j", Origin.SCHEDULE, State.RUNNING, now, attempt=1, started_at=now)

    again, never = (
        retry_at(Ended(tried_often, run, Outcome(State.FAILED, "x", final=final)), now) for final in (False, True)
    )

    assert again is not None
    assert never is None


def test_a_wait_of_more_than_a_day_is_not_waited_for_and_the_run_says_so_F59(world: World) -> None:
    scheduler = world.scheduler(job(retries=2))
    world.run_for(scheduler, 31)

    end_with(world, Outcome(State.FAILED, error="HTTP 503", retry_after=timedelta(days=2)))
    scheduler.beat()

    (run,) = world.ledger.runs()
    words = "HTTP 503; not tried again: that would be more than a day after its first attempt"
    assert (run.state, run.error) == (State.FAILED, words)
