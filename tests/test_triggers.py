"""Triggers yield the right moments, whatever the question's moment and zone."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.triggers import DailyAt, Every

MOMENTS = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2050, 1, 1), timezones=st.just(UTC))
ZONES = [
    "UTC",
    "Europe/Riga",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Nuuk",
    "Asia/Kolkata",
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(moment=MOMENTS, seconds=st.integers(1, 30 * 86_400), phase=st.integers(0, 3600))
def test_intervals_are_anchored_to_the_epoch_and_never_drift_I16(moment: datetime, seconds: int, phase: int) -> None:
    trigger = Every(timedelta(seconds=seconds), timedelta(seconds=phase))

    dues = list(islice(trigger.after(moment), 4))

    assert dues[0] > moment >= dues[0] - trigger.interval
    assert all((due.timestamp() - phase) % seconds == 0 for due in dues)
    assert all(b - a == trigger.interval for a, b in pairwise(dues))


@given(moment=MOMENTS, minute=st.integers(0, 1439), zone=st.sampled_from(ZONES))
def test_daily_slots_do_not_depend_on_when_one_asks_I3(moment: datetime, minute: int, zone: str) -> None:
    trigger = DailyAt(time(minute // 60, minute % 60), zone)

    dues = list(islice(trigger.after(moment), 5))

    assert dues[0] > moment
    assert dues == sorted(set(dues))
    assert list(islice(trigger.after(dues[1]), 3)) == dues[2:5]
    assert next(trigger.after(dues[0] - timedelta(seconds=1))) == dues[0]


@pytest.mark.parametrize(
    ("zone", "at", "day", "expected"),
    [
        ("America/New_York", "02:30", "2026-03-08", "2026-03-08T07:00"),  # gap: the first instant after it, 03:00 EDT
        ("America/New_York", "01:30", "2026-11-01", "2026-11-01T05:30"),  # fold: the first copy, EDT
        ("Europe/Berlin", "02:30", "2026-03-29", "2026-03-29T01:00"),
        ("Europe/Berlin", "02:30", "2026-10-25", "2026-10-25T00:30"),
        ("Australia/Lord_Howe", "02:15", "2026-10-04", "2026-10-03T15:30"),  # a gap of half an hour
        ("Australia/Lord_Howe", "01:45", "2026-04-05", "2026-04-04T14:45"),
        ("Africa/Cairo", "00:30", "2026-04-24", "2026-04-23T22:00"),
        ("America/Nuuk", "23:30", "2026-03-28", "2026-03-29T01:00"),
        ("America/Havana", "00:30", "2026-03-08", "2026-03-08T05:00"),  # a gap that begins at midnight
        ("America/Havana", "00:30", "2026-11-01", "2026-11-01T04:30"),
    ],
)
def test_gap_times_run_once_just_after_and_fold_times_at_their_first_copy_F38(
    zone: str, at: str, day: str, expected: str
) -> None:
    trigger = DailyAt(time.fromisoformat(at), zone)
    before = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) - timedelta(hours=1)

    first, second = islice((due for due in trigger.after(before) if due >= utc(expected) - timedelta(hours=3)), 2)

    assert first == utc(expected)
    assert second - first > timedelta(hours=20)


def test_a_day_that_a_zone_skipped_yields_one_slot_at_the_jump() -> None:
    trigger = DailyAt(time(8, 0), "Pacific/Apia")  # there was no 2011-12-30 in Samoa

    dues = list(islice(trigger.after(utc("2011-12-29T00:00")), 3))

    assert dues == sorted(set(dues))
    assert utc("2011-12-29T18:00") in dues


@pytest.mark.parametrize("interval", [timedelta(0), timedelta(seconds=-5), timedelta(milliseconds=500)])
def test_an_interval_that_cannot_be_is_refused(interval: timedelta) -> None:
    with pytest.raises(ValueError, match="whole seconds, at least 1 s"):
        Every(interval)


def test_triggers_say_what_they_are_in_words() -> None:
    assert [str(Every(timedelta(seconds=s))) for s in (60, 21_600, 86_400, 90)] == [
        "every 1 min",
        "every 6 h",
        "every 1 d",
        "every 90 s",
    ]
    assert str(DailyAt(time(8, 0))) == "daily at 08:00 UTC"
