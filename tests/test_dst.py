"""What the jumps of a zone's clocks do to rules, and the jumps themselves, compared with the zone data."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, time, timedelta
from importlib.resources import files
from itertools import pairwise, takewhile
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

import pytest

from echopilot_jobs.clock import iso
from echopilot_jobs.triggers import (
    Cron,
    DailyAt,
    Every,
    EveryBetween,
    OnRequest,
    Trigger,
    Until,
    Weekly,
    zone_named,
)
from echopilot_jobs.triggers.dst import dst_notes
from echopilot_jobs.triggers.zones import Change, changes, first_instant, offset_at
from tests.slotkit import ZONES

SHIPPED = files("tzdata").joinpath("zoneinfo")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START, END = datetime(1971, 1, 1, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slots(trigger: Trigger, after: datetime, until: datetime) -> list[datetime]:
    return list(takewhile(lambda due: due <= until, trigger.after(after)))


def test_the_two_moments_of_a_repeated_hour_are_told_apart() -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    second = first.replace(fold=1)

    assert first == second
    assert [iso(first), iso(second)] == ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]


# zone, wall time, effect of the jump, the one moment at which a fixed time runs
DST_TABLE = [
    ("America/New_York", "2026-03-08 02:30", "moved", "2026-03-08T07:00"),  # 03:00 EDT
    ("America/New_York", "2026-11-01 01:30", "first_copy", "2026-11-01T05:30"),  # EDT
    ("Europe/Berlin", "2026-03-29 02:30", "moved", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25 02:30", "first_copy", "2026-10-25T00:30"),
    ("Australia/Lord_Howe", "2026-10-04 02:15", "moved", "2026-10-03T15:30"),  # a gap of half an hour
    ("Australia/Lord_Howe", "2026-04-05 01:45", "first_copy", "2026-04-04T14:45"),
    ("Africa/Cairo", "2026-04-24 00:30", "moved", "2026-04-23T22:00"),  # a gap that begins at midnight
    ("Africa/Cairo", "2026-10-29 23:30", "first_copy", "2026-10-29T20:30"),
    ("America/Nuuk", "2026-03-28 23:30", "moved", "2026-03-29T01:00"),  # a gap that ends at midnight
    ("America/Nuuk", "2026-10-24 23:30", "first_copy", "2026-10-25T00:30"),
    ("America/Havana", "2026-03-08 00:30", "moved", "2026-03-08T05:00"),
    (
        "America/Havana",
        "2025-11-02 00:30",
        "first_copy",
        "2025-11-02T04:30",
    ),  # of 2026 zone data of different age differ
    ("Pacific/Apia", "2011-12-30 08:00", "moved", "2011-12-30T10:00"),  # the whole day was left out
    ("Africa/Casablanca", "2026-02-15 02:30", "first_copy", "2026-02-15T01:30"),  # winter time for Ramadan
    ("Africa/Casablanca", "2026-03-22 02:30", "moved", "2026-03-22T02:00"),
]
of_the_dst_table = pytest.mark.parametrize(("zone", "wall", "effect", "expected"), DST_TABLE)


def forms(zone: str, wall: str) -> list[DailyAt | Weekly | Cron]:
    """One time of day in every form that can say it."""
    nominal = datetime.fromisoformat(wall)
    return [
        DailyAt(nominal.time(), zone),
        Weekly([nominal.weekday()], nominal.time(), zone),
        Cron(f"{nominal.minute} {nominal.hour} * * *", zone),
        Cron(f"{nominal.minute} {nominal.hour} {nominal.day} {nominal.month} *", zone),
    ]


@of_the_dst_table
def test_a_fixed_time_runs_once_just_after_a_gap_and_at_the_first_copy_in_a_fold_F38(
    zone: str, wall: str, effect: str, expected: str
) -> None:
    near = utc(expected)

    for trigger in forms(zone, wall):
        assert slots(trigger, near - 12 * HOUR, near + 7 * HOUR) == [near], trigger
        assert slots(trigger, near, near + 7 * HOUR) == []
        assert slots(trigger, near + 45 * MINUTE, near + 7 * HOUR) == []  # asked inside the second copy


@of_the_dst_table
def test_jumps_are_noted_with_the_nominal_and_the_real_time_F38(
    zone: str, wall: str, effect: str, expected: str
) -> None:
    near = utc(expected)

    for trigger in forms(zone, wall):
        (note,) = dst_notes(trigger, near - 12 * HOUR, near + 12 * HOUR)

        assert (note.effect, note.wall, note.at) == (effect, datetime.fromisoformat(wall), near)
        assert dst_notes(trigger, near + 12 * HOUR, near + 13 * HOUR) == []


@of_the_dst_table
def test_wildcards_follow_real_time_nothing_in_a_gap_and_both_copies_of_a_fold_F38(
    zone: str, wall: str, effect: str, expected: str
) -> None:
    nominal, near = datetime.fromisoformat(wall), utc(expected)
    trigger = Cron(f"*/15 {nominal.hour} * * *", zone)

    dues = slots(trigger, near - 12 * HOUR, near + 7 * HOUR)
    shown = [due.astimezone(zone_named(zone)).replace(tzinfo=None) for due in dues]
    notes = [note for note in dst_notes(trigger, near - 12 * HOUR, near + 7 * HOUR) if note.wall == nominal]

    assert shown.count(nominal) == (0 if effect == "moved" else 2)
    assert [note.effect for note in notes] == ["left_out" if effect == "moved" else "both_copies"]


def test_several_times_of_one_gap_run_once_F38() -> None:
    trigger = Cron("0,20,40 2,3 * * *", "America/New_York")

    dues = slots(trigger, utc("2026-03-08T06:30"), utc("2026-03-08T09:00"))

    assert dues == [utc("2026-03-08T07:00"), utc("2026-03-08T07:20"), utc("2026-03-08T07:40")]
    assert len(dst_notes(trigger, utc("2026-03-08T00:00"), utc("2026-03-09T00:00"))) == 3


def test_times_just_outside_a_jump_are_not_noted() -> None:
    spring, autumn = (utc("2026-03-01"), utc("2026-04-01")), (utc("2026-10-15"), utc("2026-11-15"))

    for at, days in ((time(1, 59, 59), spring), (time(3), spring), (time(0, 59, 59), autumn), (time(2), autumn)):
        assert dst_notes(DailyAt(at, "America/New_York"), *days) == []
        assert dst_notes(Weekly([6], at, "America/New_York"), *days) == []


def test_rules_that_no_jump_can_surprise_have_no_notes() -> None:
    year = (utc("2026-01-01"), utc("2027-01-01"))

    for trigger in (
        Every(MINUTE),
        EveryBetween(MINUTE, HOUR),
        OnRequest(),
        DailyAt(time(2, 30)),
        Cron("*/5 * * * *", "Europe/Riga"),
        Cron("17 * * * *", "Europe/Riga"),
        Until(DailyAt(time(3, 30), "Europe/Riga"), utc("2026-02-01")),
    ):
        assert dst_notes(trigger, *year) == []


def test_wildcards_that_leave_hours_out_are_noted() -> None:
    trigger = Cron("*/30 */2 * * *", "America/New_York")

    notes = dst_notes(trigger, utc("2026-01-01"), utc("2027-01-01"))

    assert [(note.effect, f"{note.wall:%H:%M}", note.at) for note in notes] == [
        ("left_out", "02:00", None),
        ("left_out", "02:30", None),
    ]


def test_notes_say_what_happens_in_a_sentence() -> None:
    notes = dst_notes(DailyAt(time(3, 30), "Europe/Riga"), utc("2026-01-01"), utc("2027-01-01"))

    assert [str(note) for note in notes] == [
        "2026-03-29 03:30:00 Europe/Riga does not exist; runs at the first instant after it (2026-03-29T01:00:00Z)",
        "2026-10-25 03:30:00 Europe/Riga comes twice; the first copy runs (2026-10-25T00:30:00Z)",
    ]


def recorded(zone: str) -> list[Change]:
    """The jumps written out in the zone's file (TZif, second version), from 1971 to 2037 or until a rule takes over."""
    data = next((path for base in TZPATH if (path := Path(base, zone)).exists()), SHIPPED.joinpath(zone)).read_bytes()
    start = 0
    for version in (1, 2):
        counts = struct.unpack(">6l", data[start + 20 : start + 44])
        utc_count, standard_count, leap_count, time_count, type_count, text_length = counts
        start += 44
        width = 4 * version
        times = struct.unpack(f">{time_count}{'l' if version == 1 else 'q'}", data[start : start + width * time_count])
        kinds = data[start + width * time_count : start + (width + 1) * time_count]
        types = start + (width + 1) * time_count
        start = types + 6 * type_count + text_length + (width + 4) * leap_count + standard_count + utc_count
    offsets = [struct.unpack(">l", data[types + 6 * kind : types + 6 * kind + 4])[0] for kind in kinds]
    found = [
        Change(EPOCH + timedelta(seconds=at), timedelta(seconds=before), timedelta(seconds=after))
        for (_, before), (at, after) in pairwise(zip(times, offsets, strict=True))
        if before != after
    ]
    return [change for change in found if START < change.at <= END]


RECORDED = {zone: recorded(zone) for zone in sorted(available_timezones()) if "/" in zone}
AT_NEW_YEAR = [
    zone
    for zone, found in RECORDED.items()
    if any((change.at + days).year != change.at.year for change in found for days in (timedelta(-1), timedelta(1)))
]


def test_no_two_jumps_lie_so_close_that_a_look_a_day_could_miss_one() -> None:
    distances = [late.at - early.at for found in RECORDED.values() for early, late in pairwise(found)]

    assert len(distances) > 10_000
    assert min(distances) > timedelta(days=6)


@pytest.mark.parametrize("zone", [*(zone for zone in ZONES if RECORDED.get(zone)), *AT_NEW_YEAR[::5]])
def test_all_jumps_on_record_are_found_and_no_others(zone: str) -> None:
    assert list(changes(zone, START, RECORDED[zone][-1].at)) == RECORDED[zone]


def test_a_jump_belongs_to_the_stretch_that_it_ends() -> None:
    (jump,) = changes("Europe/Riga", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))

    assert list(changes("Europe/Riga", jump.at - timedelta(seconds=1), jump.at)) == [jump]
    assert list(changes("Europe/Riga", jump.at, datetime(2026, 4, 1, tzinfo=UTC))) == []
    assert (jump.is_gap, jump.walls) == (True, (datetime(2026, 3, 29, 3), datetime(2026, 3, 29, 4)))
    assert [offset_at(jump.at - lag, "Europe/Riga") for lag in (timedelta(seconds=1), timedelta(0))] == [
        timedelta(hours=2),
        timedelta(hours=3),
    ]


def test_a_wall_time_is_real_at_its_first_instant() -> None:
    riga = ZoneInfo("Europe/Riga")

    assert first_instant(datetime(2026, 3, 29, 2, 59, 59), riga) == datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)
    assert first_instant(datetime(2026, 3, 29, 3, 0, 0), riga) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert first_instant(datetime(2026, 3, 29, 3, 59, 59), riga) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert first_instant(datetime(2026, 3, 29, 4, 0, 1), riga) == datetime(2026, 3, 29, 1, 0, 1, tzinfo=UTC)
    assert first_instant(datetime(2026, 10, 25, 3, 30), riga) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert first_instant(datetime(2026, 10, 25, 4, 0), riga) == datetime(2026, 10, 25, 2, tzinfo=UTC)
