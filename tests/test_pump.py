"""`schedule` drives, our slots decide."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import schedule

from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.pump import Pump
from echopilot_jobs.triggers import DailyAt, Every, Trigger

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def job(name: str, trigger: Trigger) -> Job:
    return Job(name=name, trigger=trigger, action=Inline("tick"))


def test_a_job_is_named_at_its_slot_and_not_before_I3() -> None:
    pump = Pump([job("j", Every(timedelta(minutes=1)))], NOON - timedelta(seconds=10))

    assert pump.idle_seconds(NOON - timedelta(seconds=10)) == 10
    assert pump.due(NOON - timedelta(milliseconds=1)) == []
    assert pump.due(NOON) == ["j"]
    assert pump.due(NOON) == []
    assert pump.idle_seconds(NOON) == 60


def test_being_late_moves_no_later_slot_I16() -> None:
    pump = Pump([job("j", Every(timedelta(minutes=1)))], NOON - timedelta(seconds=10))

    pump.due(NOON + timedelta(seconds=42.5))

    assert pump.idle_seconds(NOON + timedelta(seconds=42.5)) == 17.5


def test_a_day_of_minutes_is_1440_wake_ups() -> None:
    pump = Pump([job("j", Every(timedelta(minutes=1)))], NOON)
    now, wakes = NOON, 0

    while now < NOON + timedelta(days=1):
        now += timedelta(seconds=pump.idle_seconds(now) + 0.4)  # every pass is a little late
        wakes += len(pump.due(now))

    assert wakes == 1440


def test_jobs_are_named_by_due_time() -> None:
    pump = Pump([job("noon", DailyAt(time(12, 0))), job("eleven", DailyAt(time(11, 0)))], NOON - timedelta(hours=2))

    assert pump.due(NOON) == ["eleven", "noon"]


def test_without_jobs_nothing_is_ever_due() -> None:
    assert Pump([], NOON).idle_seconds(NOON) == float("inf")


def test_the_library_itself_holds_the_wake_ups() -> None:
    pump = Pump([job("j", Every(timedelta(minutes=1)))], NOON)

    assert isinstance(pump._library, schedule.Scheduler)
    assert pump._library.get_next_run() == datetime(2026, 3, 2, 12, 1)  # the library's moments are naive
