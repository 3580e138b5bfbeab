"""`schedule` drives, our slots decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
import schedule
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.jobs import Inline, Job, next_wake
from echopilot_jobs.pump import LOOK_AGAIN, Pump
from echopilot_jobs.triggers import DailyAt, Every, Trigger

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def job(name: str, trigger: Trigger, **facts: Any) -> Job:
    return Job(name=name, trigger=trigger, action=Inline("tick"), **facts)


def every(seconds: int, phase: int = 0) -> Every:
    return Every(timedelta(seconds=seconds), timedelta(seconds=phase))


@dataclass(frozen=True)
class Rule:
    """A trigger of a stranger: it ends after its moments, or fails; and counts how often it was asked."""

    moments: tuple[datetime, ...] = ()
    fails: type[Exception] | None = None
    asked: list[datetime] = field(default_factory=list, compare=False)
    period = timedelta(days=1)
    follows_real_time = True

    def after(self, moment: datetime) -> Iterator[datetime]:
        self.asked.append(moment)
        if self.fails:
            raise self.fails("no moments here")
        return (due for due in self.moments if due > moment)

    def as_dict(self) -> dict[str, Any]:
        return {"rule": "a stranger's"}


def test_a_job_is_named_at_its_slot_and_not_before_I3() -> None:
    pump = Pump([job("j", Every(MINUTE))], NOON - timedelta(seconds=10))

    assert pump.idle_seconds(NOON - timedelta(seconds=10)) == 10
    assert pump.due(NOON - timedelta(milliseconds=1)) == []
    assert pump.due(NOON) == ["j"]
    assert pump.due(NOON) == []
    assert pump.idle_seconds(NOON) == 60


def test_being_late_moves_no_later_slot_I16() -> None:
    pump = Pump([job("j", Every(MINUTE))], NOON - timedelta(seconds=10))

    pump.due(NOON + timedelta(seconds=42.5))

    assert pump.idle_seconds(NOON + timedelta(seconds=42.5)) == 17.5


def test_a_day_of_minutes_is_1440_wake_ups_I16() -> None:
    pump = Pump([job("j", Every(MINUTE))], NOON)
    now, wakes = NOON, 0

    while now < NOON + timedelta(days=1):
        now += timedelta(seconds=pump.idle_seconds(now) + 0.4)  # every pass is a little late
        wakes += len(pump.due(now))

    assert wakes == 1440


def test_jobs_are_named_by_due_time_and_those_of_one_moment_in_the_order_they_were_given() -> None:
    late, early = job("noon", DailyAt(time(12, 0))), job("eleven", DailyAt(time(11, 0)))
    pump = Pump([late, job("also-noon", DailyAt(time(12, 0))), early], NOON - timedelta(hours=2))

    assert pump.due(NOON) == ["eleven", "noon", "also-noon"]


def test_without_jobs_nothing_is_ever_due() -> None:
    assert Pump([], NOON).idle_seconds(NOON) == float("inf")


def test_a_wake_up_comes_at_the_planned_moment_of_its_slot() -> None:
    spread = job("j", every(3600), jitter=timedelta(minutes=10))
    planned = next_wake(spread, NOON)
    assert planned is not None
    assert planned != NOON + timedelta(hours=1)
    pump = Pump([spread], NOON)

    assert pump.idle_seconds(NOON) == (planned - NOON).total_seconds()
    assert pump.due(planned - timedelta(microseconds=1)) == []
    assert pump.due(planned) == ["j"]


def test_a_trigger_that_has_come_to_its_end_wakes_nobody() -> None:
    pump = Pump([job("twice", Rule((NOON, NOON + MINUTE))), job("never", Rule())], NOON - MINUTE)

    named = [pump.due(NOON + n * MINUTE) for n in range(4)]

    assert named == [["twice"], ["twice"], [], []]
    assert pump.idle_seconds(NOON) == float("inf")


@pytest.mark.parametrize("error", [ValueError, OverflowError, LookupError, RuntimeError, TypeError])
def test_a_trigger_that_fails_is_named_now_and_then_and_its_neighbours_go_on_I15(error: type[Exception]) -> None:
    pump = Pump([job("bad", Rule(fails=error)), job("good", every(20))], NOON)

    named = [pump.due(NOON + timedelta(seconds=20 * n)) for n in range(1, 5)]

    assert [sorted(names) for names in named] == [["good"], ["good"], ["bad", "good"], ["good"]]
    assert timedelta(seconds=60) == LOOK_AGAIN


def test_a_pass_asks_only_the_jobs_that_are_due() -> None:
    waiting = [Rule((NOON + timedelta(days=1),)) for _ in range(50)]
    pump = Pump([job("j", Every(MINUTE)), *(job(f"w{n}", rule) for n, rule in enumerate(waiting))], NOON)

    for second in range(600):
        pump.due(NOON + timedelta(seconds=second))
        pump.idle_seconds(NOON + timedelta(seconds=second))

    assert [rule.asked for rule in waiting] == [[NOON]] * 50


@given(
    rules=st.lists(st.tuples(st.integers(1, 90), st.integers(0, 89)), max_size=8),
    steps=st.lists(st.floats(0, 200), max_size=30),
)
def test_every_moment_names_its_job_once_however_the_passes_fall_I2_I3(
    rules: list[tuple[int, int]], steps: list[float]
) -> None:
    jobs = [job(f"j{n}", every(*rule)) for n, rule in enumerate(rules)]
    pump = Pump(jobs, NOON)
    now = NOON

    for step in steps:
        before, now = now, now + timedelta(seconds=step)
        firsts = {j.name: next(j.trigger.after(before)) for j in jobs}
        expected = sorted((due, int(name[1:])) for name, due in firsts.items() if due <= now)

        assert pump.due(now) == [f"j{number}" for _, number in expected]
        upcoming = [(next(j.trigger.after(now)) - now).total_seconds() for j in jobs]
        assert pump.idle_seconds(now) == min(upcoming, default=float("inf"))


def test_after_a_step_of_the_wall_clock_every_wake_up_is_computed_anew_I18() -> None:
    pump = Pump([job("j", Every(MINUTE)), job("daily", DailyAt(time(12, 0)))], NOON - MINUTE)
    pump.due(NOON)
    earlier = NOON - timedelta(hours=2, seconds=-10)

    pump.reset(earlier)

    assert pump.idle_seconds(earlier) == 50
    assert pump.due(earlier + MINUTE) == ["j"]
    assert pump.due(NOON) == ["j", "daily"]


def test_a_clock_that_was_a_year_ahead_leaves_no_wake_up_there_I18() -> None:
    pump = Pump([job("j", Every(MINUTE)), job("once", Rule((NOON + MINUTE,)))], NOON)
    pump.due(NOON + timedelta(days=365))

    pump.reset(NOON)

    assert pump.due(NOON + MINUTE) == ["j", "once"]


def test_a_changed_set_of_jobs_keeps_what_did_not_change_even_when_it_is_due() -> None:
    same, goes, changes = job("same", Every(MINUTE)), job("goes", Every(MINUTE)), job("changes", Every(MINUTE))
    pump = Pump([same, goes, changes], NOON - timedelta(seconds=30))
    now = NOON + timedelta(seconds=1)  # all three are due and nobody has been told

    named = pump.replace([job("new", every(5)), replace(same), replace(changes, trigger=every(10))], now)

    assert named == ["new", "changes"]
    assert pump.due(now) == ["same"]
    assert pump.due(NOON + timedelta(seconds=5)) == ["new"]
    assert pump.due(NOON + MINUTE) == ["new", "changes", "same"]


def test_the_library_itself_holds_the_wake_ups() -> None:
    pump = Pump([job("j", Every(MINUTE))], NOON)

    assert isinstance(pump._library, schedule.Scheduler)
    assert all(isinstance(wake_up, schedule.Job) for wake_up in pump._library.jobs)
    assert pump._library.get_next_run() == NOON + MINUTE
    assert pump._library.next_run == pump._library.get_next_run()
    assert pump._library.idle_seconds == 60


def test_what_else_the_library_can_do_leaves_the_heap_true() -> None:
    pump = Pump([job("a", every(10)), job("b", every(20)), job("c", every(30))], NOON)
    library = pump._library
    a, b, c = library.jobs
    b.tag("later")
    c.tag("later")

    library.run_all()
    assert library.get_next_run("later") == NOON + timedelta(seconds=20)
    assert pump.due(NOON + timedelta(seconds=10)) == [
        "a",
        "b",
        "c",
        "a",
    ]  # `run_all` named each once, though nothing was due
    assert c.should_run is False
    library.cancel_job(a)
    assert pump.due(NOON + timedelta(seconds=20)) == ["b"]
    library.clear("later")

    assert library.get_next_run() is None
    assert library.get_next_run("later") is None
    assert pump.due(NOON + timedelta(days=1)) == []


def test_who_shares_the_next_moment_is_counted_no_further_than_asked() -> None:
    pump = Pump([job(f"j{n}", every(60 if n % 3 else 50)) for n in range(30)], NOON)

    assert pump.next_moment == NOON + timedelta(seconds=50)
    assert pump.count_next(100) == 10
    assert pump.count_next(4) == 4
    assert Pump([], NOON).count_next(100) == 0
