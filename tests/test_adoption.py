"""Other definitions between two beats: who goes on, who is new, who goes, and what each owes."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta

import pytest

from echopilot_jobs.errors import LeaseLost, LedgerUnavailable
from echopilot_jobs.jobs import Inline, Job, Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import Origin, State
from echopilot_jobs.slots import SkipReason
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import DailyAt, Every
from tests.schedulekit import begin
from tests.worldkit import WORK, World, job


@pytest.fixture
def world(ledger: SqliteLedger, clock: FakeClock) -> World:
    return World(ledger, clock)


def test_a_new_job_runs_from_its_next_slot_on_and_owes_nothing_for_the_past_F64(world: World) -> None:
    scheduler = world.scheduler(job("old", action=Inline("tick")))
    world.run_for(scheduler, 600)

    assert scheduler.adopt(Registry([job("old", action=Inline("tick")), job("new")]))
    adopted_at = world.clock.now()
    world.run_for(scheduler, 70)

    (run,) = world.ledger.runs(job_name="new")
    assert run.slot is not None
    assert run.slot.due_at > adopted_at
    assert run.origin is Origin.SCHEDULE
    assert len(world.ledger.runs(job_name="old")) == 11


def test_a_running_run_of_a_removed_job_ends_under_its_own_definition_and_is_not_tried_again_F64(world: World) -> None:
    going = job("going", retries=3)
    scheduler = world.scheduler(going, job("stays"))
    world.run_for(scheduler, 31)

    assert scheduler.adopt(Registry([job("stays")]))
    world.run_for(scheduler, 120)
    world.engine.end_all(State.FAILED)
    world.run_for(scheduler, 60)

    (run,) = world.ledger.runs(job_name="going")
    assert (run.state, run.attempt) == (State.FAILED, 1)
    assert world.engine.taken[0][0] == going


def test_what_waits_for_a_removed_job_is_cancelled_and_says_why_I32(world: World) -> None:
    world.engine.room = 0
    scheduler = world.scheduler(job("going"), job("stays"))
    world.run_for(scheduler, 31)

    assert scheduler.adopt(Registry([job("stays")]))
    world.engine.room = 8
    world.run_for(scheduler, 1)

    (run,) = world.ledger.runs(job_name="going")
    assert (run.state, run.error) == (State.CANCELLED, "its job is no longer defined")
    assert [taken.job_name for _, taken in world.engine.taken] == ["stays"]
    assert "run.cancelled" in world.log.names()


def test_a_changed_schedule_supersedes_what_was_due_and_keeps_to_the_new_times_F64(world: World) -> None:
    scheduler = world.scheduler(job("j"))
    world.run_for(scheduler, 31)
    world.engine.end_all()
    world.clock.sleep(150)  # 08:01 and 08:02 come due and no beat has planned them

    hourly = replace(job("j"), trigger=Every(timedelta(hours=1)))
    assert scheduler.adopt(Registry([hourly]))
    world.run_for(scheduler, 3600)

    runs = world.ledger.runs(job_name="j")
    skips = world.ledger.skips_between(world.clock.now() - timedelta(hours=3), world.clock.now())
    assert [run.slot.due_at.minute for run in runs if run.slot] == [0, 0]
    assert {skip.reason for skip in skips} == {SkipReason.SUPERSEDED}
    (told,) = [facts for name, facts in world.log.lines if name == "slot.skipped"]
    assert (told["job"], told["reason"], told["count"]) == ("j", "superseded", len(skips))


def test_an_unchanged_job_keeps_its_due_slot_through_an_adoption_I2(world: World) -> None:
    scheduler = world.scheduler(job("j"))
    scheduler.beat()
    world.clock.sleep(31)  # 08:00 is due, and no beat has seen it yet

    assert scheduler.adopt(Registry([job("j"), job("k")]))
    world.run_for(scheduler, 1)

    assert [run.slot.due_at.hour for run in world.ledger.runs(job_name="j") if run.slot] == [8]


def test_the_other_limits_hold_from_the_next_pass_on(world: World) -> None:
    scheduler = world.scheduler(job("a", group="g"), job("b", group="g"), limits={"g": 1})
    world.run_for(scheduler, 31)
    alone = len(world.engine.taken)

    assert scheduler.adopt(Registry([job("a", group="g"), job("b", group="g")], {"g": 2}))
    world.run_for(scheduler, 6)

    assert (alone, len(world.engine.taken)) == (1, 2)


def test_a_run_of_a_job_that_is_gone_holds_its_place_in_its_group_until_it_ends_I8(world: World) -> None:
    scheduler = world.scheduler(job("a", group="g"), job("b", group="g"), limits={"g": 1})
    world.run_for(scheduler, 31)

    assert scheduler.adopt(Registry([job("b", group="g")], {"g": 1}))
    world.run_for(scheduler, 6)
    alone = [run.job_name for _, run in world.engine.taken]
    world.engine.end_all()
    world.run_for(scheduler, 6)

    assert alone == ["a"]
    assert [run.job_name for _, run in world.engine.taken] == ["a", "b"]


def test_a_ledger_out_of_reach_puts_the_adoption_off_and_the_old_set_goes_on_I28(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = world.scheduler(job("old"))
    world.run_for(scheduler, 1)

    def refuse(*_args: object) -> None:
        raise LedgerUnavailable("the ledger cannot be written: disk full")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.ledger), "set_defined", refuse)
        refused = scheduler.adopt(Registry([job("new")]))
    world.run_for(scheduler, 31)

    assert refused is False
    assert [run.job_name for run in world.ledger.runs()] == ["old"]
    assert scheduler.adopt(Registry([job("new")])) is True


def test_a_deposed_scheduler_changes_no_definition_I20(world: World) -> None:
    old = world.scheduler(job("j"))
    old.beat()
    begin(world.ledger, Registry([job("j")]), world.clock, world.log, "b:2:2")

    with pytest.raises(LeaseLost):
        old.adopt(Registry([job("k")]))

    assert world.ledger.job_names() == ["j"]


def test_a_job_that_comes_back_owes_nothing_for_the_time_it_was_gone_F64(world: World) -> None:
    scheduler = world.scheduler(job("j", action=Inline("tick")))
    world.run_for(scheduler, 31)

    assert scheduler.adopt(Registry([]))
    world.run_for(scheduler, 600)
    assert scheduler.adopt(Registry([job("j", action=Inline("tick"))]))
    world.run_for(scheduler, 60)

    minutes = [run.slot.due_at.minute for run in world.ledger.runs(job_name="j") if run.slot]
    assert minutes == [11, 0]


def test_a_new_calendar_job_runs_at_start_up_even_while_the_clock_is_not_trusted_I18(world: World) -> None:
    world.run_for(world.scheduler(job("old")), 31)
    world.clock.step(5 * 3600)
    daily = Job(name="daily", trigger=DailyAt(time(8)), action=WORK, on_startup=True)

    scheduler = world.scheduler(job("old"), daily, owner="b:2:2")
    world.run_for(scheduler, 1)

    assert [run.origin for run in world.ledger.runs(job_name="daily")] == [Origin.STARTUP]
