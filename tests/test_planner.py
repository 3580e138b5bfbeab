"""Every slot in the gap gets exactly one disposition, whatever opened the gap."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from echopilot_jobs import planner
from echopilot_jobs.holds import Pause
from echopilot_jobs.jobs import CatchUp, Inline, Job, Overlap, planned_at, slots
from echopilot_jobs.planner import (
    CATCH_UP_MOST,
    Claim,
    Plan,
    Standing,
    needs_consent,
    paced,
    plan,
)
from echopilot_jobs.runs import Origin
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.stretches import GAP_ABOVE, SkippedStretch
from echopilot_jobs.triggers import DailyAt, Every, Until

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTELY = Job(name="minutely", trigger=Every(timedelta(seconds=60)), action=Inline("tick"))
DAILY = Job(name="daily", trigger=DailyAt(time(8, 0)), action=Inline("tick"))


def disposed(made: Plan) -> list[Slot]:
    claimed = [claim.slot for claim in made.claims]
    return sorted(claimed + [slot for stretch in made.skipped for slot in within(stretch)])


def within(stretch: SkippedStretch) -> list[Slot]:
    """The slots of a stretch, those of a long one counted off from its ends."""
    if stretch.slots:
        return list(stretch.slots)
    step = (stretch.last.due_at - stretch.first.due_at) / (stretch.count - 1)
    return [Slot(stretch.first.job_name, stretch.first.due_at + n * step) for n in range(stretch.count)]


@given(
    gap=st.sampled_from([1, 14_999, 15_000, 15_001]) | st.integers(1, 15_000) | st.integers(1, 100_000),
    offset=st.integers(0, 60_000),
    trigger=st.builds(Every, st.sampled_from([1, 5, 15, 20, 60]).map(lambda seconds: timedelta(seconds=seconds)))
    | st.just(DailyAt(time(12, 0)))
    | st.just(Until(Every(timedelta(seconds=5)), NOON + timedelta(seconds=20))),
    catch_up=st.sampled_from(["latest", "all", "none"]),
    overlap=st.sampled_from(["skip", "queue_one", "queue_all", "cancel_previous", "allow"]),
    enabled=st.sampled_from([True, True, True, False]),
    open_runs=st.sampled_from([(0, 0), (0, 0), (0, 0), (1, 0), (0, 1)]),
    pauses=st.sampled_from([(), (), (Pause(1, "j", NOON, NOON + timedelta(seconds=30), "test"),)]),
    held_from=st.sampled_from([None, NOON]),
)
@settings(max_examples=1_000)
def test_the_plan_of_most_passes_is_what_the_long_way_says_I2(
    gap: int,
    offset: int,
    trigger: Every | DailyAt | Until,
    catch_up: CatchUp,
    overlap: Overlap,
    enabled: bool,
    open_runs: tuple[int, int],
    pauses: tuple[Pause, ...],
    held_from: datetime | None,
) -> None:
    job = Job("j", trigger, Inline("tick"), catch_up=catch_up, overlap=overlap, enabled=enabled)
    now = NOON + timedelta(milliseconds=offset)
    standing = Standing(now - timedelta(milliseconds=gap), *open_runs, generation=3, pauses=pauses)

    made = plan(job, standing, now, latest_only=held_from is not None, held_from=held_from)

    assert made == planner._at_length(job, standing, now, latest_only=held_from is not None, held_from=held_from)


def test_the_plan_of_most_passes_is_made_the_short_way() -> None:
    standing = Standing(NOON - timedelta(seconds=30))

    assert planner._usual(MINUTELY, standing, NOON) == Plan(
        NOON, (Claim(Slot("minutely", NOON), Origin.SCHEDULE, NOON),)
    )
    assert planner._usual(MINUTELY, standing, NOON - timedelta(seconds=1)) == Plan(NOON - timedelta(seconds=1))
    assert planner._usual(MINUTELY, standing._replace(running=1), NOON) is None


@given(
    gap=st.integers(0, 4 * 86_400),
    every=st.integers(1, 86_400),
    offset=st.integers(0, 86_400),
    catch_up=st.sampled_from(["latest", "all", "none"]),
    busy=st.booleans(),
)
def test_every_due_slot_is_disposed_of_exactly_once_I2(
    gap: int, every: int, offset: int, catch_up: CatchUp, busy: bool
) -> None:
    every = max(every, gap // 2000 + 1)
    job = Job(name="j", trigger=Every(timedelta(seconds=every)), action=Inline("tick"), catch_up=catch_up)
    now = NOON + timedelta(seconds=offset)
    through = now - timedelta(seconds=gap)

    made = plan(job, Standing(through, running=int(busy)), now)

    assert disposed(made) == list(slots(job, through, now))
    assert all(claim.slot.due_at <= now for claim in made.claims)  # I3: never early
    assert made.planned_through == now


def test_a_slot_of_the_last_seconds_is_live() -> None:
    made = plan(MINUTELY, Standing(NOON - timedelta(seconds=30)), NOON + timedelta(seconds=2))

    assert [(claim.slot.due_at, claim.origin) for claim in made.claims] == [(NOON, Origin.SCHEDULE)]
    assert made.skipped == ()


def test_a_missed_daily_slot_inside_its_window_is_caught_up_once() -> None:
    back = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)

    made = plan(DAILY, Standing(back - timedelta(days=3)), back)

    assert [(claim.slot.due_at.day, claim.origin) for claim in made.claims] == [(2, Origin.CATCH_UP)]
    assert [(s.reason, [slot.due_at.day for slot in s.slots]) for s in made.skipped] == [(SkipReason.EXPIRED, [28, 1])]


def test_a_missed_slot_outside_its_window_is_skipped_with_that_reason_I4() -> None:
    back = datetime(2026, 3, 2, 21, 0, tzinfo=UTC)  # 13 h late, the window of a daily job is 12 h

    made = plan(DAILY, Standing(back - timedelta(days=1)), back)

    assert made.claims == ()
    assert [stretch.reason for stretch in made.skipped] == [SkipReason.EXPIRED]


def test_a_month_of_missed_heartbeats_becomes_one_gap() -> None:
    made = plan(MINUTELY, Standing(NOON - timedelta(days=30, seconds=30)), NOON - timedelta(seconds=30))

    assert [(stretch.reason, stretch.count, stretch.is_gap) for stretch in made.skipped] == [
        (SkipReason.EXPIRED, 43_199, True)
    ]
    assert [claim.origin for claim in made.claims] == [Origin.CATCH_UP]


def test_a_live_slot_makes_catching_up_the_latest_pointless() -> None:
    made = plan(MINUTELY, Standing(NOON - timedelta(seconds=90)), NOON)

    assert [claim.slot.due_at for claim in made.claims] == [NOON]
    assert [stretch.reason for stretch in made.skipped] == [SkipReason.COALESCED]


def test_catching_up_all_runs_the_newest_ten_oldest_first_and_paced() -> None:
    job = Job(
        name="j",
        trigger=Every(timedelta(minutes=1)),
        action=Inline("tick"),
        catch_up="all",
        catch_up_window=timedelta(hours=1),
    )
    now = NOON + timedelta(seconds=30)

    ((_, made),) = paced([(job, plan(job, Standing(now - timedelta(minutes=30)), now))], now + timedelta(seconds=10))

    starts = [claim.not_before for claim in made.claims if claim.not_before]
    assert len(starts) == CATCH_UP_MOST
    assert starts[0] == now + timedelta(seconds=10)
    assert all(b - a == timedelta(seconds=5) for a, b in pairwise(starts))
    assert [claim.slot.due_at for claim in made.claims] == sorted(claim.slot.due_at for claim in made.claims)
    assert [(stretch.reason, stretch.count) for stretch in made.skipped] == [(SkipReason.CAP, 20)]


def test_a_job_that_wants_no_catching_up_gets_none() -> None:
    job = Job(name="j", trigger=Every(timedelta(hours=1)), action=Inline("tick"), catch_up="none")

    made = plan(job, Standing(NOON - timedelta(hours=5)), NOON + timedelta(minutes=5))

    assert made.claims == ()
    assert [stretch.reason for stretch in made.skipped] == [SkipReason.EXPIRED]


def test_a_slot_that_meets_a_running_run_is_skipped_for_overlap_I8() -> None:
    made = plan(MINUTELY, Standing(NOON - timedelta(seconds=30), running=1), NOON)

    assert made.claims == ()
    assert [stretch.reason for stretch in made.skipped] == [SkipReason.OVERLAP]


def test_a_clock_that_stepped_back_plans_nothing_and_keeps_the_marker_I18() -> None:
    through = NOON + timedelta(hours=1)

    assert plan(MINUTELY, Standing(through), NOON) == Plan(through)


@pytest.mark.parametrize(
    ("trigger", "window"),
    [
        (Every(timedelta(seconds=10)), timedelta(seconds=60)),
        (Every(timedelta(hours=6)), timedelta(hours=3)),
        (DailyAt(time(8, 0)), timedelta(hours=12)),
        (Every(timedelta(days=7)), timedelta(hours=24)),
    ],
)
def test_the_window_is_half_a_period_between_a_minute_and_a_day(trigger: Every | DailyAt, window: timedelta) -> None:
    assert Job(name="j", trigger=trigger, action=Inline("tick")).window == window


def test_a_hundred_skips_are_rows_and_one_more_is_a_gap() -> None:
    job = Job(name="j", trigger=Every(timedelta(seconds=1)), action=Inline("tick"), catch_up="none")

    exactly = plan(job, Standing(NOON - timedelta(seconds=GAP_ABOVE + 16)), NOON - timedelta(0))
    beyond = plan(job, Standing(NOON - timedelta(seconds=GAP_ABOVE + 17)), NOON)
    counts = [(stretch.count, stretch.is_gap) for made in (exactly, beyond) for stretch in made.skipped[:1]]

    assert counts == [(GAP_ABOVE, False), (GAP_ABOVE + 1, True)]


def seconds(count: int, **limits: Any) -> Job:
    """A job due every *count* seconds."""
    return Job(name="j", trigger=Every(timedelta(seconds=count)), action=Inline("tick"), **limits)


def told(made: Plan) -> tuple[list[datetime], list[tuple[SkipReason, int]]]:
    """The moments claimed, and the skips as reasons with counts."""
    return [claim.slot.due_at for claim in made.claims], [(one.reason, one.count) for one in made.skipped]


@pytest.mark.parametrize(
    ("overlap", "most", "running", "waiting", "claimed", "skipped"),
    [
        ("skip", 1, 0, 0, 1, []),
        ("skip", 1, 1, 0, 0, [(SkipReason.OVERLAP, 1)]),
        ("skip", 1, 0, 1, 0, [(SkipReason.OVERLAP, 1)]),
        ("queue_one", 1, 1, 0, 1, []),
        ("queue_one", 1, 1, 1, 0, [(SkipReason.OVERLAP, 1)]),
        ("queue_all", 1, 1, 99, 1, []),
        ("queue_all", 1, 1, 100, 0, [(SkipReason.CAP, 1)]),
        ("cancel_previous", 1, 1, 1, 1, []),
        ("allow", 3, 2, 0, 1, []),
        ("allow", 3, 2, 1, 0, [(SkipReason.OVERLAP, 1)]),
    ],
)
def test_a_slot_that_meets_an_open_run_follows_the_job_s_overlap_rule_I8_F62(
    overlap: Overlap, most: int, running: int, waiting: int, claimed: int, skipped: list[tuple[SkipReason, int]]
) -> None:
    job = seconds(60, overlap=overlap, max_instances=most)

    made = plan(job, Standing(NOON - timedelta(seconds=30), running, waiting), NOON)

    assert (len(made.claims), [(one.reason, one.count) for one in made.skipped]) == (claimed, skipped)
    assert made.cancels_previous == (overlap == "cancel_previous")


def test_every_second_of_a_short_outage_is_caught_up_where_all_are_wanted() -> None:
    made = plan(seconds(1, catch_up="all"), Standing(NOON - timedelta(seconds=5)), NOON)

    assert told(made) == ([NOON - timedelta(seconds=n) for n in (4, 3, 2, 1, 0)], [])


def test_of_several_live_slots_only_the_newest_runs_unless_all_are_wanted() -> None:
    made = plan(seconds(1), Standing(NOON - timedelta(seconds=5)), NOON)

    assert told(made) == ([NOON], [(SkipReason.COALESCED, 4)])


def test_a_disabled_job_says_so_for_every_slot_I32() -> None:
    made = plan(seconds(60, enabled=False), Standing(NOON - timedelta(minutes=3)), NOON)

    assert told(made) == ([], [(SkipReason.DISABLED, 3)])


def test_slots_of_a_pause_are_paused_even_when_they_are_looked_at_after_it_I32() -> None:
    pause = Pause(1, "j", NOON - timedelta(minutes=4), NOON - timedelta(minutes=1), "me")

    made = plan(seconds(60), Standing(NOON - timedelta(minutes=6), pauses=(pause,)), NOON)

    assert told(made)[0] == [NOON]
    assert {
        slot.due_at: one.reason for one in made.skipped for slot in one.slots
    } == {
        NOON - timedelta(minutes=5): SkipReason.EXPIRED,
        NOON - timedelta(minutes=4): SkipReason.PAUSED,
        NOON - timedelta(minutes=3): SkipReason.PAUSED,
        NOON - timedelta(minutes=2): SkipReason.PAUSED,
        NOON - timedelta(minutes=1): SkipReason.COALESCED,
    }  # fmt: skip


def test_after_a_clock_nobody_could_trust_at_most_the_latest_is_caught_up_and_the_hold_is_named_I18() -> None:
    job = Job(
        name="j",
        trigger=Every(timedelta(hours=1)),
        action=Inline("tick"),
        catch_up="all",
        catch_up_window=timedelta(days=9),
    )
    held_from = NOON - timedelta(hours=2, minutes=30)

    made = plan(job, Standing(NOON - timedelta(hours=6)), NOON, latest_only=True, held_from=held_from)

    assert told(made) == ([NOON], [(SkipReason.COALESCED, 3), (SkipReason.CLOCK_HOLD, 2)])


def test_a_slot_waits_for_its_jitter_and_is_neither_early_nor_forgotten_I3() -> None:
    job = seconds(60, jitter=timedelta(seconds=20))
    slot = Slot("j", NOON)
    moment = planned_at(job, slot)

    before = plan(job, Standing(NOON - timedelta(seconds=1)), moment - timedelta(milliseconds=1))
    after = plan(job, Standing(before.planned_through), moment)

    assert NOON < moment < NOON + timedelta(seconds=20)
    assert before.claims == before.skipped == ()
    assert before.planned_through < NOON
    assert [(claim.slot, claim.planned_at) for claim in after.claims] == [(slot, moment)]


def test_a_year_of_seconds_is_counted_without_visiting_each() -> None:
    made = plan(seconds(1), Standing(NOON - timedelta(days=365)), NOON)

    assert told(made)[0] == [NOON]
    assert sum(one.count for one in made.skipped) == 365 * 86_400 - 1


@given(
    gap=st.integers(0, 3_000),
    every=st.integers(1, 40),
    jitter=st.integers(0, 20),
    ends=st.none() | st.integers(-3_000, 100),
    window=st.none() | st.integers(0, 4_000),
    catch_up=st.sampled_from(["latest", "all", "none"]),
    enabled=st.booleans() | st.just(True),
    pauses=st.lists(st.tuples(st.integers(-3_100_000, 100_000), st.none() | st.integers(0, 2_000_000)), max_size=3),
)
@example(gap=18_072, every=7, jitter=0, ends=-8_100, window=60, catch_up="latest", enabled=True, pauses=[])
def test_counting_slots_off_gives_the_very_plan_that_a_visit_to_each_gives_I2_I32(
    gap: int,
    every: int,
    jitter: int,
    ends: int | None,
    window: int | None,
    catch_up: CatchUp,
    enabled: bool,
    pauses: list[tuple[int, int | None]],
) -> None:
    rule = Every(timedelta(seconds=every))
    job = Job(
        name="j",
        trigger=rule if ends is None else Until(rule, NOON + timedelta(seconds=ends)),
        action=Inline("tick"),
        catch_up=catch_up,
        catch_up_window=None if window is None else timedelta(seconds=window),
        jitter=min(timedelta(seconds=jitter), rule.interval / 2),
        enabled=enabled,
    )
    held = tuple(
        Pause(
            n,
            "j",
            since := NOON + timedelta(milliseconds=ms),
            None if long is None else since + timedelta(milliseconds=long),
            "me",
        )
        for n, (ms, long) in enumerate(pauses)
    )
    standing = Standing(NOON - timedelta(seconds=gap), pauses=held)

    counted = plan(job, standing, NOON)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echopilot_jobs.planner.count_off", lambda _job, _gathered, after, _through, **_facts: after)
        assert counted == plan(job, standing, NOON)


@pytest.mark.parametrize(
    "more",
    [
        {"catch_up_window": timedelta(days=7)},
        {"jitter": timedelta(milliseconds=400)},
        {"trigger": Until(Every(timedelta(seconds=1)), NOON)},
        {"enabled": False},
        {"catch_up": "all", "catch_up_window": timedelta(days=30)},
    ],
)
@pytest.mark.parametrize("pause", [None, timedelta(days=2)])
def test_a_year_of_seconds_costs_few_slots_whatever_the_job_says(more: dict[str, Any], pause: timedelta | None) -> None:
    job = replace(Job(name="j", trigger=Every(timedelta(seconds=1)), action=Inline("tick")), **more)
    held = () if pause is None else (Pause(1, "j", NOON - 3 * pause, NOON - 2 * pause, "me"),)
    visits = 0

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal visits
        for slot in slots(*args, **kwargs):
            visits += 1
            yield slot

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echopilot_jobs.planner.slots", counting)
        made = plan(job, Standing(NOON - timedelta(days=365), pauses=held), NOON)

    planned = (made.planned_through - NOON) // timedelta(seconds=1) + 365 * 86_400
    assert sum(stretch.count for stretch in made.skipped) + len(made.claims) == planned >= 365 * 86_400 - 1
    assert visits <= 200


@pytest.mark.parametrize(("count", "hours", "asks"), [(20, 1, False), (21, 1, True), (1, 24, False), (1, 25, True)])
def test_a_large_or_very_late_backlog_needs_a_person_s_word(count: int, hours: int, asks: bool) -> None:
    due = NOON - timedelta(hours=hours)

    claims = [Claim(Slot(f"j{n}", due), Origin.CATCH_UP, due) for n in range(count)]

    assert needs_consent(claims, NOON) is asks


def test_backlogs_of_several_jobs_share_one_queue_oldest_first() -> None:
    late = [
        (seconds(3600, catch_up="latest"), Standing(NOON - timedelta(minutes=90))),
        (
            Job(name="older", trigger=Every(timedelta(hours=2)), action=Inline("tick")),
            Standing(NOON - timedelta(hours=3)),
        ),
    ]
    now = NOON + timedelta(minutes=20)
    plans = [(job, plan(job, standing, now)) for job, standing in late]

    turns = {claim.slot.job_name: claim.not_before for _, made in paced(plans, now) for claim in made.claims}

    assert turns == {"j": now, "older": now + timedelta(seconds=5)}


def test_a_gap_covers_one_stretch_and_nothing_that_lies_between_I32() -> None:
    pause = Pause(1, "j", NOON - timedelta(seconds=300), NOON - timedelta(seconds=240), "me")
    job = seconds(1, catch_up="all", catch_up_window=timedelta(days=7))

    made = plan(job, Standing(NOON - timedelta(seconds=900), pauses=(pause,)), NOON)

    for stretch in made.skipped:
        assert (stretch.last.due_at - stretch.first.due_at).total_seconds() == stretch.count - 1
    assert sum(stretch.count for stretch in made.skipped) + len(made.claims) == 900
