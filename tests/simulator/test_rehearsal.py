"""A rehearsal lives jobs that come due every few minutes around outages only, and says what living all of it would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from echopilot_jobs.jobs import Command, Job, Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.simulator import glimpses
from echopilot_jobs.simulator.rehearsal import Account, affordable, random_outages, rehearse
from echopilot_jobs.triggers import DailyAt, Every

BEGAN = datetime(2026, 3, 2, tzinfo=UTC)
ENDED = BEGAN + timedelta(hours=28)
MINUTE = timedelta(minutes=1)
JOBS = [
    Job("minutely", Every(MINUTE), Command(("true",))),
    Job("all", Every(5 * MINUTE), Command(("true",)), catch_up="all", catch_up_window=timedelta(hours=2)),
    Job("none", Every(7 * MINUTE), Command(("true",)), catch_up="none"),
    Job("jittered", Every(10 * MINUTE), Command(("true",)), jitter=2 * MINUTE),
    Job("seldom", Every(timedelta(hours=6)), Command(("true",)), on_startup=True),
    Job("daily", DailyAt(datetime(2026, 3, 2, 8).time(), "Europe/Riga"), Command(("true",))),
]


def told(accounts: list[Account]) -> dict[str, object]:
    return {
        each.job.name: (each.slots, each.counts, [(odd.slot_at, odd.what, odd.reason) for odd in each.odd])
        for each in accounts
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_left_out_would_have_been_as_it_is_said_to_be_I32(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    registry, dark = Registry(JOBS), random_outages(3, seed, BEGAN, ENDED)

    short = rehearse(registry, dark, BEGAN, ENDED)
    monkeypatch.setattr(glimpses, "OFTEN", timedelta(0))
    whole = rehearse(registry, dark, BEGAN, ENDED)

    assert told(short) == told(whole)
    assert {each.job.name for each in short if each.taken} == {"minutely", "all", "none", "jittered"}
    assert not any(each.taken for each in whole)
    assert not any(each.counts["lost"] for each in whole)


@pytest.mark.parametrize(
    ("job", "takes"),
    [
        (Job("fails", Every(MINUTE), Command(("true",))), timedelta(seconds=5)),
        (Job("grouped", Every(MINUTE), Command(("true",)), group="g"), timedelta(seconds=5)),
        (Job("off", Every(MINUTE), Command(("true",)), enabled=False), timedelta(seconds=5)),
        (Job("long", Every(MINUTE), Command(("true",))), timedelta(seconds=31)),
        (Job("short", Every(MINUTE), Command(("true",)), timeout=timedelta(seconds=9)), timedelta(seconds=5)),
        (Job("seldom", Every(11 * MINUTE), Command(("true",))), timedelta(seconds=5)),
        (Job("named_times", DailyAt(datetime(2026, 3, 2, 8).time(), "UTC"), Command(("true",))), timedelta(seconds=5)),
    ],
    ids=lambda value: value.name if isinstance(value, Job) else "",
)
def test_runs_that_may_not_be_all_alike_are_lived_one_by_one(job: Job, takes: timedelta) -> None:
    assert glimpses.often(Registry([job]), takes, ["fails"]) == frozenset()


def test_outages_close_together_are_one_glimpse_and_the_beginning_is_always_seen() -> None:
    hour = timedelta(hours=1)
    near = [(BEGAN + n * hour, BEGAN + n * hour + 5 * MINUTE) for n in (10, 11, 20)]

    seen = glimpses.glimpses(near, BEGAN, BEGAN + 30 * hour)

    assert [start - BEGAN for start, _ in seen] == [timedelta(0), 10 * hour - 10 * MINUTE, 20 * hour - 10 * MINUTE]
    assert all(end < start for (_, end), (start, _) in pairwise(seen))
    assert glimpses.glimpses(near, BEGAN, BEGAN + 24 * hour) == [(BEGAN, BEGAN + 24 * hour + glimpses.EDGE)]


def test_a_month_of_a_minutely_job_is_affordable_and_a_day_of_every_second_is_not() -> None:
    a_month, a_day = BEGAN + timedelta(days=30), BEGAN + timedelta(days=1)
    every_second = Registry([Job("second", Every(timedelta(seconds=1)), Command(("true",)))])

    assert affordable(Registry(JOBS), BEGAN, a_month, outages=10) == a_month
    assert timedelta(hours=1) < affordable(every_second, BEGAN, a_day) - BEGAN < timedelta(days=1)


def test_jobs_due_at_the_same_moments_are_each_told_what_became_of_their_own_slots_I2() -> None:
    hour, dark = timedelta(hours=1), [(BEGAN + timedelta(minutes=150), BEGAN + timedelta(minutes=330))]
    late = Job("late", Every(hour), Command(("true",)), catch_up="all", catch_up_window=6 * hour)
    never = Job("never", Every(hour), Command(("true",)), catch_up="none")
    off = Job("off", Every(hour), Command(("true",)), enabled=False)

    accounts = rehearse(Registry([late, never, off]), dark, BEGAN, BEGAN + 10 * hour)

    assert {each.job.name: dict(each.counts) for each in accounts} == {
        "late": {"ran": 7, "caught up": 3},
        "never": {"ran": 7, "expired": 3},
        "off": {"disabled": 10},
    }


def test_a_backlog_that_nobody_answered_is_not_called_caught_up_I2() -> None:
    hour, dark = timedelta(hours=1), [(BEGAN + timedelta(minutes=90), BEGAN + timedelta(minutes=690))]
    policy: dict[str, Any] = {"catch_up": "all", "catch_up_window": 24 * hour}
    jobs = [Job(name, Every(hour), Command(("true",)), **policy) for name in "abc"]

    accounts = rehearse(Registry(jobs), dark, BEGAN, BEGAN + 14 * hour)

    unanswered = "its backlog was answered 'latest' by default"
    assert {each.job.name: dict(each.counts) for each in accounts} == {
        name: {"ran": 4, "caught up": 1, unanswered: 9} for name in "abc"
    }


def test_a_run_cut_off_is_counted_by_how_it_ended_and_one_begun_again_as_repeated_I2() -> None:
    hour, cut = timedelta(hours=1), BEGAN + timedelta(hours=2, seconds=5)
    once, again = (Job(name, Every(hour), Command(("true",)), idempotent=name == "again") for name in ("once", "again"))

    accounts = rehearse(Registry([once, again]), [(cut, cut + 20 * MINUTE)], BEGAN, BEGAN + 4 * hour)

    assert {each.job.name: dict(each.counts) for each in accounts} == {
        "once": {"ran": 3, "ran, abandoned": 1},
        "again": {"ran": 3, "repeated": 1},
    }


def test_jobs_that_share_a_group_cost_no_reading_of_the_ledger_each_and_few_checkpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = count_calls(monkeypatch, "runs_between", "skips_between", "gaps_between", "checkpoint")
    jobs = [Job(f"j{number}", Every(MINUTE), Command(("true",)), group="g") for number in range(3)]

    accounts = rehearse(Registry(jobs, {"g": 1}), [], BEGAN, BEGAN + timedelta(hours=4))

    assert sum(each.counts["ran"] for each in accounts) > 480
    assert (asked["runs_between"], asked["skips_between"], asked["gaps_between"]) == (1, 1, 1)
    assert 3 <= asked["checkpoint"] <= 5


def count_calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> Counter[str]:
    """How often each of these methods of the ledger is called from now on."""
    asked = Counter[str]()

    def counted(name: str) -> Callable[..., Any]:
        ours = getattr(SqliteLedger, name)

        def call(ledger: SqliteLedger, *words: Any) -> Any:
            asked[name] += 1
            return ours(ledger, *words)

        return call

    for name in names:
        monkeypatch.setattr(SqliteLedger, name, counted(name))
    return asked
