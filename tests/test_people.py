"""What people say to the scheduler: pause, resume, cancel, backfill, let a backlog go."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from echopilot_jobs.accounting.audit import audit
from echopilot_jobs.errors import WrongState
from echopilot_jobs.holds import HoldAnswer
from echopilot_jobs.jobs import Inline, Job, Registry, slots
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import Origin, State
from echopilot_jobs.slots import SkipReason
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import DailyAt, Every
from tests.worldkit import MINUTE, WORK, World, job

HOUR = timedelta(hours=1)
EIGHT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def world(ledger: SqliteLedger, clock: FakeClock) -> World:
    return World(ledger, clock)


def reasons(world: World) -> list[SkipReason]:
    return [skip.reason for skip in world.ledger.skips_between(EIGHT - HOUR, EIGHT + 30 * HOUR)]


def test_slots_of_a_paused_job_are_skipped_as_paused_until_it_is_resumed_I32(world: World) -> None:
    scheduler = world.scheduler(job(action=Inline("tick")))
    world.run_for(scheduler, 5)

    pause = world.ledger.pause("j", world.clock.now(), None, "cli:me", "moving house")
    world.run_for(scheduler, 180)
    during = (world.ticks, reasons(world))
    world.ledger.resume("j", world.clock.now(), "cli:me")
    world.run_for(scheduler, 60)

    assert during == (0, [SkipReason.PAUSED] * 3)
    assert world.ticks == 1
    assert (pause.actor, pause.note, pause.until) == ("cli:me", "moving house", None)


def test_a_pause_ends_by_itself_and_owes_nothing(world: World) -> None:
    scheduler = world.scheduler(job(action=Inline("tick"), catch_up="all"))
    world.run_for(scheduler, 5)

    world.ledger.pause("j", world.clock.now(), EIGHT + timedelta(seconds=90), "me", "")
    world.run_for(scheduler, 180)

    assert reasons(world) == [SkipReason.PAUSED, SkipReason.PAUSED]
    assert [run.slot and run.slot.due_at for run in world.ledger.runs()] == [EIGHT + 2 * MINUTE]


def test_a_paused_job_can_still_be_run_by_hand(world: World) -> None:
    scheduler = world.scheduler(job())
    scheduler.beat()
    world.ledger.pause("j", world.clock.now(), None, "me", "")

    world.ledger.request_run("j", world.clock.now(), actor="me")
    world.run_for(scheduler, 1)

    assert [run.origin for _, run in world.engine.taken] == [Origin.MANUAL]


def test_a_retry_waits_while_its_job_is_paused_and_goes_on_after_it(world: World) -> None:
    scheduler = world.scheduler(Job(name="j", trigger=Every(HOUR), action=WORK, retries=3))
    world.run_for(scheduler, 31)
    world.engine.end_all(State.FAILED)
    world.ledger.pause("j", world.clock.now(), None, "me", "")

    world.run_for(scheduler, 600)
    during = len(world.engine.taken)
    world.ledger.resume("j", world.clock.now(), "me")
    world.run_for(scheduler, 10)

    assert (during, len(world.engine.taken)) == (1, 2)


def test_pausing_twice_and_resuming_what_is_not_paused_are_refused(world: World) -> None:
    world.scheduler(job()).beat()
    now = world.clock.now()
    with pytest.raises(WrongState, match="not paused"):
        world.ledger.resume("j", now, "me")

    world.ledger.pause("j", now, now + HOUR, "me", "")

    with pytest.raises(WrongState, match="is paused already, by me until 2026-03-02 08:59:30Z"):
        world.ledger.pause("j", now, None, "you", "")


def test_a_running_run_that_somebody_cancels_ends_as_cancelled_and_is_not_tried_again(world: World) -> None:
    scheduler = world.scheduler(job(retries=5, idempotent=True))
    world.run_for(scheduler, 31)
    (run,) = world.ledger.runs()

    world.ledger.cancel(run.id, world.clock.now(), "cli:me")
    world.run_for(scheduler, 10)

    ended = world.ledger.run(run.id)
    assert (ended.state, ended.error) == (State.CANCELLED, "cancelled by cli:me")


def test_the_next_slot_makes_the_run_before_give_way_where_that_is_wanted_F62(world: World) -> None:
    scheduler = world.scheduler(job(overlap="cancel_previous"))

    world.run_for(scheduler, 100)

    older, newer = reversed(world.ledger.runs())
    assert (older.state, older.error) == (State.CANCELLED, "cancelled by the next slot")
    assert newer.state is State.RUNNING
    assert len(world.engine.out) == 1


def test_queued_slots_start_one_after_another_F62(world: World) -> None:
    scheduler = world.scheduler(job(overlap="queue_all"))
    world.run_for(scheduler, 200)

    waiting = len(world.engine.taken)
    for _ in range(3):
        world.engine.end_all()
        world.run_for(scheduler, 0.1)

    assert waiting == 1
    assert [run.slot and run.slot.due_at for _, run in world.engine.taken] == [EIGHT + n * MINUTE for n in range(3)]


def test_so_many_runs_of_a_job_at_once_as_it_allows_I8(world: World) -> None:
    scheduler = world.scheduler(job(overlap="allow", max_instances=2))

    world.run_for(scheduler, 300)

    assert len(world.engine.out) == 2
    assert set(reasons(world)) == {SkipReason.OVERLAP}


def test_jobs_of_one_group_share_its_limit(world: World) -> None:
    grouped = [job(name, group="exports") for name in "abc"]
    scheduler = world.scheduler(*grouped, job("free"), limits={"exports": 2})

    world.run_for(scheduler, 35)

    assert sorted(run.job_name for _, run in world.engine.taken) == ["a", "b", "free"]


def test_a_backfill_queues_what_has_no_run_after_everything_else_and_never_twice_I1(world: World) -> None:
    hourly = Job(name="j", trigger=Every(HOUR), action=WORK, catch_up="none")
    world.run_for(world.scheduler(hourly), 5)
    world.clock.sleep(5 * 3600)
    scheduler = world.scheduler(hourly, owner="b:2:2")
    world.run_for(scheduler, 5)

    wanted = list(slots(hourly, EIGHT - HOUR, EIGHT + 3 * HOUR))
    first = world.ledger.backfill("j", wanted, "cli:me", world.clock.now())
    again = world.ledger.backfill("j", wanted, "cli:me", world.clock.now())
    for _ in range(4):
        world.run_for(scheduler, 1)
        world.engine.end_all()

    assert [run.slot for run in first] == wanted
    assert again == []
    assert [run.slot for _, run in world.engine.taken] == wanted
    assert {run.origin for run in first} == {Origin.BACKFILL}


def backlog(world: World, count: int = 21) -> list[Job]:
    """So many hourly jobs, down over 08:00."""
    jobs = [Job(name=f"j{n:02}", trigger=Every(HOUR), action=Inline("tick")) for n in range(count)]
    world.run_for(world.scheduler(*jobs), 5)
    world.clock.sleep(1200)
    return jobs


@pytest.mark.parametrize(("answer", "ran"), [("latest", 21), ("all", 21), ("drop", 0)])
def test_a_large_backlog_waits_for_a_person_s_word(world: World, answer: HoldAnswer, ran: int) -> None:
    scheduler = world.scheduler(*backlog(world), owner="b:2:2")
    world.run_for(scheduler, 600)
    waiting = world.ticks
    hold = world.ledger.waiting_hold()

    world.ledger.answer_hold(answer, "cli:me", world.clock.now())
    world.run_for(scheduler, 300)

    assert hold
    assert (waiting, hold.count) == (0, 21)
    assert world.ticks == ran
    assert world.ledger.waiting_hold() is None
    ends = {run.state for run in world.ledger.runs(limit=200)}
    assert ends == ({State.SUCCEEDED} if ran else {State.CANCELLED})


def test_a_backlog_nobody_answers_for_runs_the_latest_after_an_hour(world: World) -> None:
    every = Job(
        name="all", trigger=Every(timedelta(minutes=1)), action=Inline("tick"), catch_up="all", catch_up_window=HOUR
    )
    jobs = [every, *backlog(world, 15)]
    world.run_for(world.scheduler(*jobs, owner="b:2:2"), 5)
    world.clock.sleep(3600)
    world.ticks = 0

    world.run_for(world.scheduler(*jobs, owner="b:3:3"), 3700)

    late = [
        run for run in world.ledger.runs(job_name="all", limit=200) if run.origin is Origin.CATCH_UP and run.hold_id
    ]
    assert [run.state for run in late].count(State.SUCCEEDED) == 1
    assert [run.state for run in late].count(State.CANCELLED) == len(late) - 1 == 9
    assert "backlog.answered" in world.log.names()


def test_answering_where_nothing_waits_is_refused(world: World) -> None:
    with pytest.raises(WrongState, match="no backlog waits"):
        world.ledger.answer_hold("all", "me", world.clock.now())


def test_a_run_somebody_queued_takes_no_slot_away(world: World) -> None:
    scheduler = world.scheduler(job())
    world.run_for(scheduler, 5)
    world.ledger.request_run("j", world.clock.now(), actor="me")

    world.clock.sleep(25)
    scheduler.beat()
    for _ in range(2):
        world.engine.end_all()
        world.run_for(scheduler, 1)

    assert [run.origin for _, run in world.engine.taken] == [Origin.MANUAL, Origin.SCHEDULE]


def test_an_attempt_that_failed_while_somebody_cancelled_it_is_not_tried_again(world: World) -> None:
    scheduler = world.scheduler(Job(name="j", trigger=Every(HOUR), action=WORK, retries=3))
    world.run_for(scheduler, 31)
    (run,) = world.ledger.runs()
    world.ledger.cancel(run.id, world.clock.now(), "cli:me")
    world.engine.end_all(State.FAILED)

    world.run_for(scheduler, 600)

    assert world.ledger.run(run.id).state is State.FAILED
    assert len(world.engine.taken) == 1


def test_new_times_leave_what_the_old_ones_owed_skipped_as_superseded_I32(world: World) -> None:
    world.run_for(world.scheduler(Job(name="j", trigger=Every(HOUR), action=WORK)), 5)
    world.clock.sleep(1800)

    changed = Job(name="j", trigger=Every(timedelta(hours=2)), action=WORK)
    world.run_for(world.scheduler(changed, owner="b:2:2"), 5)

    assert reasons(world) == [SkipReason.SUPERSEDED]


def test_what_a_job_owed_before_it_was_removed_is_skipped_as_superseded_I2(world: World) -> None:
    """Removed while nobody planned, or beside a working scheduler: every slot up to then has its row, none after it."""
    every_minute, other = Job(name="j", trigger=Every(MINUTE), action=WORK), Job("k", Every(HOUR), WORK)
    world.run_for(world.scheduler(every_minute, other), 5)
    world.clock.sleep(600)

    second = world.scheduler(other, owner="b:2:2")
    world.run_for(second, 5)
    gone_at = world.clock.now()
    world.clock.sleep(600)
    world.run_for(world.scheduler(every_minute, other, owner="b:3:3"), 5)

    skips = world.ledger.skips_between(EIGHT - HOUR, world.clock.now())
    assert [(skip.slot.due_at, skip.reason) for skip in skips if skip.slot.job_name == "j"] == [
        (EIGHT + n * MINUTE, SkipReason.SUPERSEDED) for n in range(10)
    ]
    assert all(skip.decided_at <= gone_at for skip in skips)
    assert audit(world.ledger, world.clock.now()).is_green


def test_a_job_removed_and_added_again_before_anybody_planned_is_one_that_was_never_away_I2(world: World) -> None:
    minutely = Job(name="j", trigger=Every(MINUTE), action=WORK, catch_up="all", catch_up_window=HOUR)
    world.run_for(world.scheduler(minutely), 5)
    world.clock.sleep(150)

    world.ledger.set_defined([], world.clock.now())
    world.run_for(world.scheduler(minutely, owner="b:2:2"), 5)

    assert [run.slot.due_at for run in reversed(world.ledger.runs()) if run.slot] == [
        EIGHT,
        EIGHT + MINUTE,
        EIGHT + 2 * MINUTE,
    ]
    assert not reasons(world)


def test_a_clock_nobody_trusts_removes_no_slots_of_a_calendar_job_that_is_gone_I18(world: World) -> None:
    other = Job("k", Every(HOUR), WORK)
    scheduler = world.scheduler(Job(name="j", trigger=DailyAt(time(9)), action=WORK), other)
    world.run_for(scheduler, 5)

    world.clock.step(3 * 86_400)
    scheduler.beat()
    assert scheduler.adopt(Registry([other]))
    world.run_for(scheduler, 5)
    held = world.ledger.skips_between(EIGHT - HOUR, world.clock.now())
    world.clock.step(-3 * 86_400)
    world.run_for(scheduler, 700)

    assert not [skip for skip in held if skip.slot.job_name == "j"]
    assert not [
        skip for skip in world.ledger.skips_between(EIGHT - HOUR, world.clock.now()) if skip.slot.job_name == "j"
    ]


def test_what_a_removed_job_owed_is_written_under_the_clock_it_owed_it_by_I2(world: World) -> None:
    """The clock was set back while nobody planned: the job was gone when the new clock generation began."""
    other = Job("k", Every(HOUR), WORK)
    world.run_for(world.scheduler(Job(name="j", trigger=Every(MINUTE), action=WORK), other), 5)
    world.clock.sleep(1800)
    world.clock.step(-600)

    world.run_for(world.scheduler(other, owner="b:2:2"), 5)

    skips = [skip.slot for skip in world.ledger.skips_between(EIGHT, EIGHT + HOUR) if skip.slot.job_name == "j"]
    assert [slot.due_at for slot in skips] == [EIGHT + n * MINUTE for n in range(20)]
    assert audit(world.ledger, world.clock.now()).is_green
