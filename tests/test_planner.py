"""Every slot in the gap gets exactly one disposition, whatever opened the gap."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.jobs import CatchUp, Inline, Job, slots
from echopilot_jobs.planner import CATCH_UP_MOST, GAP_ABOVE, Plan, SkippedStretch, Standing, paced, plan
from echopilot_jobs.runs import Origin, SkipReason, Slot
from echopilot_jobs.triggers import DailyAt, Every

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
