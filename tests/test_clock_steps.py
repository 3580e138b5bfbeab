"""The wall clock may step: no calendar moment runs twice, interval jobs keep their beat, a leap is not believed at once."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from echopilot_jobs.accounting.audit import audit
from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.outages import Cause
from echopilot_jobs.runs import Origin, State
from echopilot_jobs.slots import SkipReason
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.triggers import Cron, DailyAt, Every, Trigger
from tests.worldkit import World

HOUR = 3600.0
DAY = 24 * HOUR
EIGHT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
BEAT = Job(name="beat", trigger=Every(timedelta(minutes=1)), action=Inline("tick"))
DAILY = Job(name="daily", trigger=DailyAt(time(8, 0)), action=Inline("tick"))


@pytest.fixture
def world(clock: FakeClock) -> World:
    return World(MemoryLedger(), clock)


def moments(world: World, name: str) -> list[datetime]:
    """The slots of a job that ran, oldest first."""
    return [run.slot.due_at for run in reversed(world.ledger.runs(job_name=name, limit=200)) if run.slot]


@pytest.mark.parametrize("back", [30, 600, HOUR, 2.9 * HOUR])
def test_a_step_back_repeats_no_calendar_moment_and_silences_no_interval_job_I1_I18_F35(
    world: World, back: float
) -> None:
    scheduler = world.scheduler(BEAT, DAILY)
    world.run_for(scheduler, 60)
    beats = len(moments(world, "beat"))

    world.clock.step(-back)
    world.run_for(scheduler, back + 300)

    assert moments(world, "daily") == [EIGHT]
    assert len(moments(world, "beat")) - beats >= int((back + 300) // 60) - 1
    assert {run.slot.generation for run in world.ledger.runs(job_name="beat", limit=200) if run.slot} == {0, 1}


@pytest.mark.parametrize("rule", [Every(6 * timedelta(hours=1)), Cron("0 */6 * * *"), Cron("0 * * * *")], ids=str)
@pytest.mark.parametrize("steps", [[-20], [-120, 120, -45], [-20, -20, -20]], ids=str)
def test_a_step_back_by_less_than_its_interval_repeats_no_moment_of_an_interval_job_I1_I18(
    world: World, rule: Trigger, steps: list[int]
) -> None:
    long = Job(name="long", trigger=rule, action=Inline("tick"))
    start = rule.after(world.clock.now())
    first, second = next(start), next(start)
    world.clock.sleep((first - world.clock.now()).total_seconds() - 30)
    scheduler = world.scheduler(long)
    world.run_for(scheduler, 40)

    for step in steps:
        world.clock.step(step)
        world.run_for(scheduler, 5)
    world.run_for(scheduler, (second - world.clock.now()).total_seconds() + 5)

    assert moments(world, "long") == [first, second]
    assert audit(world.ledger, world.clock.now()).is_green


def test_many_small_steps_back_leave_no_new_moment_of_an_interval_job_without_a_run_I18(world: World) -> None:
    scheduler = world.scheduler(BEAT)
    world.run_for(scheduler, 60)
    before = len(moments(world, "beat"))

    for _ in range(100):
        world.clock.step(-20)
        world.run_for(scheduler, 30)

    assert len(moments(world, "beat")) - before >= 1_000 // 60
    assert audit(world.ledger, world.clock.now()).is_green


def test_a_step_back_of_less_than_a_second_changes_nothing_F36(world: World) -> None:
    scheduler = world.scheduler(BEAT, DAILY)
    world.run_for(scheduler, 30.1)

    world.clock.step(-0.4)
    world.run_for(scheduler, 1)

    assert moments(world, "daily") == [EIGHT]
    assert world.ledger.generation().number == 0


def test_a_step_forward_of_an_hour_is_an_ordinary_gap_with_its_cause_F34(world: World) -> None:
    scheduler = world.scheduler(BEAT, DAILY)
    world.run_for(scheduler, 10)

    world.clock.step(HOUR)
    world.run_for(scheduler, 30)

    assert [run.origin for run in world.ledger.runs(job_name="daily")] == [Origin.CATCH_UP]
    (outage,) = world.ledger.outages_between(EIGHT - timedelta(hours=1), EIGHT + timedelta(hours=2))
    assert (outage.cause, outage.detail) == (Cause.CLOCK_STEP, "forward by 3,600 s")
    assert {skip.outage for skip in world.ledger.skips_between(EIGHT, EIGHT + timedelta(hours=2))} == {outage}


def test_a_clock_a_year_ahead_is_not_believed_and_poisons_no_marker_I18_F34(world: World) -> None:
    scheduler = world.scheduler(BEAT, DAILY)
    world.run_for(scheduler, 10)

    world.clock.step(365 * DAY)
    world.run_for(scheduler, 300)
    held = world.ledger.generation().held
    world.clock.step(-365 * DAY)
    world.run_for(scheduler, 60)

    assert held
    assert moments(world, "daily") == [EIGHT]
    assert not world.ledger.generation().held
    assert len(moments(world, "beat")) >= 4
    assert not any(gap.count > 200 for gap in world.ledger.gaps_between(EIGHT, EIGHT + timedelta(days=400)))


def test_a_clock_that_stays_ahead_is_believed_after_ten_minutes_and_catches_up_the_latest_at_most(world: World) -> None:
    scheduler = world.scheduler(BEAT, DAILY)
    world.run_for(scheduler, 10)

    world.clock.step(40 * DAY)
    world.run_for(scheduler, 599)
    before = moments(world, "daily")
    world.run_for(scheduler, 30)

    assert before == []
    assert moments(world, "daily") == [EIGHT + timedelta(days=40)]
    assert "clock.trusted" in world.log.names()


def test_a_clock_that_was_believed_wrongly_does_not_silence_calendar_jobs_once_it_is_put_right(world: World) -> None:
    scheduler = world.scheduler(BEAT, DAILY)
    world.run_for(scheduler, 60)  # 08:00 ran
    world.clock.step(365 * DAY)
    world.run_for(scheduler, 700)

    world.clock.step(-365 * DAY)
    world.run_for(scheduler, 700)
    world.clock.sleep(DAY - 1400)
    world.run_for(scheduler, 60)

    true_days = [moment for moment in moments(world, "daily") if moment.year == 2026]
    assert true_days == [EIGHT, EIGHT + timedelta(days=1)]


def test_a_step_back_of_a_day_runs_no_calendar_moment_again_but_those_not_yet_run_I18_F35(world: World) -> None:
    scheduler = world.scheduler(BEAT, DAILY)
    world.run_for(scheduler, 60)

    world.clock.step(-DAY)
    world.run_for(scheduler, 700)
    for _ in range(2):  # 08:00 of the day before comes by again, then the next one for the first time
        world.clock.sleep(DAY - 60)
        world.run_for(scheduler, 60)

    assert moments(world, "daily") == [EIGHT, EIGHT + timedelta(days=1)]


def test_a_person_may_trust_the_clock_sooner_F34(world: World) -> None:
    scheduler = world.scheduler(DAILY)
    world.run_for(scheduler, 10)
    world.clock.step(40 * DAY)
    world.run_for(scheduler, 5)

    world.ledger.trust_clock()
    world.run_for(scheduler, 30)

    assert moments(world, "daily") == [EIGHT + timedelta(days=40)]


def test_a_restart_during_a_hold_goes_on_holding(world: World) -> None:
    first = world.scheduler(DAILY)
    world.run_for(first, 10)
    world.clock.step(40 * DAY)
    world.run_for(first, 5)

    second = world.scheduler(DAILY, owner="b:2:2")
    world.run_for(second, 300)

    assert moments(world, "daily") == []
    assert world.ledger.generation().held


def test_a_step_while_nobody_runs_is_seen_by_the_next_scheduler(world: World) -> None:
    first = world.scheduler(BEAT, DAILY)
    world.run_for(first, 60)

    world.clock.step(-HOUR)
    second = world.scheduler(BEAT, DAILY, owner="b:2:2")
    world.run_for(second, HOUR + 120)

    assert moments(world, "daily") == [EIGHT]
    assert world.ledger.generation().number == 1


def test_slots_of_a_hold_that_are_not_run_say_so_I32(world: World) -> None:
    often = Job(name="often", trigger=DailyAt(time(8, 0)), action=Inline("tick"), catch_up="none")
    scheduler = world.scheduler(often)
    world.run_for(scheduler, 1)
    world.clock.step(30 * DAY)

    world.run_for(scheduler, 700)

    (held,) = [
        skip
        for skip in world.ledger.skips_between(EIGHT + timedelta(days=29, hours=1), EIGHT + timedelta(days=31))
        if skip.reason is SkipReason.CLOCK_HOLD
    ]
    assert held.slot.due_at == EIGHT + timedelta(days=30)


def test_a_suspended_machine_is_no_step_and_catches_up_F40(world: World) -> None:
    scheduler = world.scheduler(DAILY)
    world.run_for(scheduler, 10)

    world.clock.suspend(5 * HOUR)
    world.run_for(scheduler, 30)

    assert [(run.origin, run.state) for run in world.ledger.runs()] == [(Origin.CATCH_UP, State.SUCCEEDED)]
    assert [o.cause for o in world.ledger.outages_between(EIGHT, EIGHT + timedelta(days=1))] == [Cause.SUSPEND]
    assert world.ledger.generation().number == 0


def test_a_second_leap_starts_the_ten_minutes_anew(world: World) -> None:
    scheduler = world.scheduler(DAILY)
    world.run_for(scheduler, 10)
    world.clock.step(40 * DAY)
    world.run_for(scheduler, 400)
    world.clock.step(-366 * DAY)

    world.run_for(scheduler, 500)

    assert world.ledger.generation().held


def test_a_pause_goes_on_when_the_clock_steps_back_and_one_that_was_over_stays_over(world: World) -> None:
    scheduler = world.scheduler(BEAT, DAILY)
    world.run_for(scheduler, 100)
    world.ledger.pause("daily", world.clock.now(), world.clock.now() + timedelta(seconds=30), "me", "short")
    world.run_for(scheduler, 60)
    world.ledger.pause("beat", world.clock.now(), None, "me", "long")
    world.run_for(scheduler, 60)
    beats = len(moments(world, "beat"))

    world.clock.step(-HOUR)
    world.run_for(scheduler, 300)

    assert len(moments(world, "beat")) == beats
    assert [pause.job_name for pause in world.ledger.pauses(world.clock.now())] == ["beat"]


def test_a_pause_keeps_its_end_by_the_wall_clock_and_begins_at_the_step_when_that_is_set_back(world: World) -> None:
    scheduler = world.scheduler(BEAT, DAILY)
    world.run_for(scheduler, 100)
    end = world.clock.now() + timedelta(seconds=40)
    world.ledger.pause("beat", world.clock.now(), end, "me", "short")

    world.clock.step(-HOUR)
    stepped_at = world.clock.now()
    world.run_for(scheduler, 60)

    (pause,) = world.ledger.pauses(world.clock.now())
    assert pause.until == end
    assert timedelta(0) <= pause.since - stepped_at < timedelta(seconds=15)
    assert pause.covers(world.clock.now())
