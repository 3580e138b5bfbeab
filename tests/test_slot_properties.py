"""Slots keep their promises for every kind of rule: equal to brute force, and whole however time is cut."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from echopilot_jobs.triggers import (
    Cron,
    DailyAt,
    Every,
    EveryBetween,
    OnRequest,
    Trigger,
    Until,
    Weekly,
    jitter_of,
    trigger_of,
)
from tests import slotkit
from tests.slotkit import ZONES, jumps_of, scan, two_years_of

SECOND = timedelta(seconds=1)

# Expressions from crontabs, manuals and documentation; the last ones reach into nights and months that jumps touch.
EXPRESSIONS = [
    "* * * * *",
    "*/5 * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "17 * * * *",
    "0 */2 * * *",
    "0 */6 * * *",
    "30 */4 * * *",
    "5 0-23/3 * * *",
    "0 0 * * *",
    "0 2 * * *",
    "30 2 * * *",
    "15 2 * * 1-5",
    "59 23 * * *",
    "0 8 * * 1-5",
    "0 8,20 * * *",
    "0 9-17 * * 1-5",
    "*/10 9-17 * * MON-FRI",
    "*/30 1-3 * * *",
    "0 0 * * 0",
    "0 0 * * 7",
    "47 6 * * 7",
    "25 6 * * *",
    "52 6 1 * *",
    "0 0 1 * *",
    "0 0 1 1 *",
    "0 0 1 */3 *",
    "0 12 1-7 * *",
    "0 12 1-7 * 1",
    "0 12 */2 * 1",
    "0 12 13 * 5",
    "0 12 * * MON#1",
    "0 12 * * FRI#2",
    "0 12 * * 5L",
    "0 6 L * *",
    "0 6 LW * *",
    "0 6 31 * *",
    "0 6 29 2 *",
    "30 4 1,15 * 5",
    "23 0-23/2 * * *",
    "0 22 * * 1-5",
    "5 4 * * SUN",
    "15 14 1 * *",
    "0,30 0-3 * * *",
    "0-59/20 1,2 * * *",
    "*/20 0 * * *",
    "10,40 23,0 * * *",
    "1 0 * 3,4,10,11 *",
    "*/15 1-2 * MAR,APR,OCT,NOV SUN",
    "0 3 29-31 3,10,12 *",
]


def slots(trigger: Trigger, after: datetime, until: datetime) -> list[datetime]:
    return list(takewhile(lambda due: due <= until, trigger.after(after)))


def of_kind(rule: str, zone: str) -> tuple[Trigger, slotkit.Rule]:
    """A rule in words of its own, as ours and as the brute force's."""
    if rule.startswith("daily"):
        at = time.fromisoformat(rule.split()[1])
        days = int(rule.split()[2]) if len(rule.split()) > 2 else 1
        return DailyAt(at, zone, days), slotkit.daily(at, days)
    if rule.startswith("weekly"):
        at, days_ = time.fromisoformat(rule.split()[1]), {int(day) for day in rule.split()[2]}
        return Weekly(days_, at, zone), slotkit.weekly(days_, at)
    return Cron(rule, zone), slotkit.cron(rule)


CALENDAR_RULES = [
    "daily 00:00",
    "daily 00:30",
    "daily 01:45",
    "daily 02:30",
    "daily 08:00",
    "daily 23:30",
    "daily 02:15 2",
    "daily 00:30 7",
    "weekly 02:30 6",
    "weekly 00:00 036",
    "weekly 08:00 01234",
]


def windows(zone: str, rule: str) -> Iterator[tuple[datetime, datetime]]:
    """Stretches of a zone's two years: around each jump, beginning at an odd minute, and two days taken at random."""
    pick = random.Random(f"{zone} {rule}")
    start, end = two_years_of(zone)
    centres = [*jumps_of(zone), *(start + timedelta(minutes=pick.randrange(720 * 1440)) for _ in range(2))]
    for centre in centres:
        begin = max(centre - timedelta(minutes=pick.randrange(1, 2000)), start)
        yield begin, min(begin + timedelta(minutes=3000), end)


@pytest.mark.parametrize("zone", ZONES)
def test_slots_around_every_jump_equal_a_scan_of_every_minute_F38_I3(zone: str) -> None:
    wrong = []
    for rule in [*EXPRESSIONS, *CALENDAR_RULES]:
        trigger, brute = of_kind(rule, zone)
        for start, end in windows(zone, rule):
            if slots(trigger, start, end) != scan(brute, zone, start, end):
                wrong.append((rule, start, end))

    assert not wrong


@pytest.mark.parametrize(
    ("rule", "zone"),
    [
        ("30 2 * * *", "America/New_York"),
        ("0 */2 * * *", "Australia/Lord_Howe"),
        ("*/20 0 * * *", "Africa/Cairo"),
        ("0,30 0-3 * * *", "America/Havana"),
        ("17 * * * *", "Africa/Casablanca"),
        ("10,40 23,0 * * *", "America/Nuuk"),
        ("1 0 * 3,4,10,11 *", "America/St_Johns"),
        ("0-59/20 1,2 * * *", "Antarctica/Troll"),
        ("0 12 13 * 5", "Pacific/Apia"),
        ("15 2 * * 1-5", "Europe/Riga"),
        ("5 0-23/3 * * *", "Asia/Kolkata"),
        ("0 12 * * FRI#2", "UTC"),
        ("daily 02:30", "Antarctica/Troll"),
        ("daily 08:00", "Pacific/Apia"),
        ("daily 00:30 7", "America/Havana"),
        ("weekly 02:30 6", "Europe/Riga"),
    ],
)
def test_slots_of_two_years_equal_a_scan_of_every_minute_F38_I3(rule: str, zone: str) -> None:
    trigger, brute = of_kind(rule, zone)
    start, end = two_years_of(zone)

    expected = scan(brute, zone, start, end)

    assert len(expected) >= 10
    assert slots(trigger, start, end) == expected


# What hypothesis draws: rules of every kind, in zones with odd clocks, asked about moments near jumps more often than not.

ANY_ZONE = st.sampled_from(list(ZONES))
ANY_TIME = st.times(max_value=time(23, 59, 59)).map(lambda at: at.replace(microsecond=0, fold=0))
NEAR_A_JUMP = st.builds(
    lambda jump, seconds: jump + timedelta(seconds=seconds),
    st.sampled_from(sorted(jump for zone in ZONES for jump in jumps_of(zone))),
    st.integers(-100_000, 100_000),
)
ANY_MOMENT = st.datetimes(datetime(1971, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)) | NEAR_A_JUMP
ANY_LENGTH = (st.integers(1, 100) | st.integers(1, 40 * 86_400)).map(lambda seconds: timedelta(seconds=seconds))


@st.composite
def cron_field(draw: st.DrawFn, low: int, high: int) -> str:
    first, last = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    step = draw(st.integers(1, 12))
    return draw(st.sampled_from(["*", f"*/{step}", f"{first}", f"{first},{last}", f"{first}-{last}/{step}"]))


@st.composite
def cron_rule(draw: st.DrawFn) -> Cron:
    fields = (
        draw(cron_field(0, 59)),
        draw(cron_field(0, 23) | st.sampled_from(["*", "0-3", "1,2"])),
        draw(st.sampled_from(["*", "*", "*/2", "L", "LW"]) | cron_field(1, 28)),
        draw(st.sampled_from(["*", "*", "3", "10,11"]) | cron_field(1, 12)),
        draw(st.sampled_from(["*", "*", "SUN", "1-5", "FRI#2", "5L", "7"])),
    )
    try:
        return Cron(" ".join(fields), draw(ANY_ZONE))
    except ValueError:  # a day that is never, such as the last Friday on a day divisible by 11
        reject()


CRON = cron_rule()
EVERY = st.builds(Every, ANY_LENGTH, st.integers(-5000, 90_000).map(lambda seconds: timedelta(seconds=seconds)))
BETWEEN = st.tuples(ANY_LENGTH, ANY_LENGTH).map(lambda pair: EveryBetween(min(pair), max(pair)))
DAILY = st.builds(DailyAt, ANY_TIME, ANY_ZONE, st.integers(1, 9))
WEEKLY = st.builds(Weekly, st.sets(st.integers(0, 6), min_size=1), ANY_TIME, ANY_ZONE)
UNTIL = st.builds(Until, st.one_of(EVERY, BETWEEN, DAILY, WEEKLY, CRON), ANY_MOMENT)
KINDS: dict[str, st.SearchStrategy[Trigger]] = {
    "every": EVERY,
    "every_between": BETWEEN,
    "daily": DAILY,
    "weekly": WEEKLY,
    "cron": CRON,
    "until": UNTIL,
    "on_request": st.just(OnRequest()),
}
of_every_kind = pytest.mark.parametrize("kind", KINDS)
ENDS_OF_TIME = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
THOROUGHLY = settings(max_examples=150)


@of_every_kind
@THOROUGHLY
@given(data=st.data())
def test_slots_are_later_than_asked_in_order_and_whole_seconds_of_utc_I3(kind: str, data: st.DataObject) -> None:
    trigger, moment = data.draw(KINDS[kind]), data.draw(ANY_MOMENT)

    dues = list(islice(trigger.after(moment), 6))

    assert all(early < late for early, late in pairwise([moment, *dues]))
    assert all(due.tzinfo is UTC and not due.microsecond for due in dues)


@of_every_kind
@THOROUGHLY
@given(data=st.data())
def test_slots_do_not_depend_on_how_time_is_cut_nor_on_when_one_asks_I3(kind: str, data: st.DataObject) -> None:
    trigger, start = data.draw(KINDS[kind]), data.draw(ANY_MOMENT)
    whole = list(islice(trigger.after(start), 8))
    if not whole:
        return
    end = whole[-1]
    cut = start + data.draw(st.floats(0, 1)) * (end - start)

    assert slots(trigger, start, cut) + slots(trigger, cut, end) == whole
    for early, late in pairwise([start, *whole]):
        assert next(trigger.after(late - SECOND)) == late
        assert next(trigger.after(early)) == late
        assert next(trigger.after(early + (late - early) / 2)) == late


@of_every_kind
@THOROUGHLY
@given(data=st.data())
def test_a_rule_read_back_from_json_is_the_same_rule(kind: str, data: st.DataObject) -> None:
    trigger = data.draw(KINDS[kind])

    again = trigger_of(json.loads(json.dumps(trigger.as_dict())))

    assert again == trigger
    assert hash(again) == hash(trigger)
    assert str(again) == str(trigger)
    assert again.as_dict() == trigger.as_dict()


@of_every_kind
@settings(max_examples=30)
@given(data=st.data())
def test_any_moment_of_the_calendar_may_be_asked_about(kind: str, data: st.DataObject) -> None:
    trigger = data.draw(KINDS[kind])
    moment = data.draw(st.datetimes(timezones=st.just(UTC)) | st.sampled_from(ENDS_OF_TIME))

    dues = list(islice(trigger.after(moment), 3))

    assert all(due > moment for due in dues)


@THOROUGHLY
@given(trigger=BETWEEN, moment=ANY_MOMENT)
def test_irregular_distances_stay_within_their_bounds_and_never_drift(trigger: EveryBetween, moment: datetime) -> None:
    dues = list(islice(trigger.after(moment), 30))

    assert all(trigger.low <= late - early <= trigger.high for early, late in pairwise(dues))
    assert abs((dues[-1] - dues[0]) - 29 * trigger.period) <= trigger.high - trigger.low + SECOND
    assert dues[0] - moment <= trigger.high


@THOROUGHLY
@given(key=st.text(), most=st.integers(-5, 10**10).map(lambda micros: timedelta(microseconds=micros)))
def test_jitter_is_whole_milliseconds_below_its_most_and_stable(key: str, most: timedelta) -> None:
    jitter = jitter_of(key, most)

    assert timedelta(0) <= jitter < max(most, timedelta(microseconds=1))
    assert jitter % timedelta(milliseconds=1) == timedelta(0)
    assert jitter_of(key, most) == jitter


def test_jitter_is_the_same_in_every_release() -> None:
    minute = timedelta(minutes=1)

    drawn = [jitter_of(key, minute) // timedelta(milliseconds=1) for key in ("", "a:1", "a:2", "heartbeat:1772352000")]

    assert drawn == [9876, 24873, 53044, 5081]


def test_jitter_spreads_evenly() -> None:
    drawn = [jitter_of(f"job:{n}", timedelta(seconds=10)).total_seconds() for n in range(5000)]

    tenths = [sum(int(each) == second for each in drawn) for second in range(10)]
    assert all(400 < count < 600 for count in tenths)


def test_irregular_moments_are_the_same_in_every_release() -> None:
    trigger = EveryBetween(timedelta(seconds=5), timedelta(seconds=10))

    dues = list(islice(trigger.after(datetime(2026, 3, 1, tzinfo=UTC)), 1000))

    assert [(due - datetime(2026, 3, 1, tzinfo=UTC)) // SECOND for due in dues[:8]] == [1, 6, 15, 23, 30, 36, 44, 52]
    assert {(late - early) // SECOND for early, late in pairwise(dues)} == {5, 6, 7, 8, 9, 10}
