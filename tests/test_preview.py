"""What comes: timetables, differences of definitions, and moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.accounting.nearest import following, is_slot, previous
from echopilot_jobs.accounting.timetable import LOOKED_AT_A_DAY, difference, timetable
from echopilot_jobs.holds import Pause
from echopilot_jobs.jobs import Job
from echopilot_jobs.triggers import Cron, DailyAt, Every, EveryBetween, OnRequest, Trigger, Until, Weekly
from echopilot_jobs.typed import length, moment
from tests.lifekit import HOUR, TICK

NOW = datetime(2026, 3, 2, 7, 59, 30, tzinfo=UTC)


def test_the_timetable_says_what_a_jump_of_the_clocks_does() -> None:
    """F38."""
    jobs_of = [
        Job("early", DailyAt(time(2, 30), "America/New_York"), TICK),
        Job("often", Cron("*/20 2 * * *", "America/New_York"), TICK),
        Job("hourly", Every(HOUR), TICK),
    ]
    spring, _ = timetable(jobs_of, datetime(2026, 3, 8, 5, tzinfo=UTC), 2, "America/New_York")
    autumn, _ = timetable(jobs_of, datetime(2026, 11, 1, 4, 30, tzinfo=UTC), 2, "America/New_York")

    told = {(line.job_name, line.at.hour, line.count): line.note for line in spring.lines}
    assert spring.jump is not None
    assert told["early", 7, 1] == "02:30 America/New_York does not exist that day; it runs right after the jump"
    assert told["often", 7, 0] == "02:40 America/New_York does not exist that day; nothing runs"
    assert sum(line.count for line in spring.lines if line.job_name == "hourly") == 22
    assert sum(line.count for line in autumn.lines if line.job_name == "hourly") == 24


def test_a_day_of_very_many_slots_is_counted_and_not_listed() -> None:
    second = timedelta(seconds=1)
    dense = [Job("seconds", Every(second), TICK), Job("wild", EveryBetween(second, 3 * second), TICK)]
    _, day = timetable(dense, datetime(2026, 3, 8, tzinfo=UTC), 2, "UTC")

    counts = {line.job_name: (line.count, line.open_end) for line in day.lines}
    assert counts == {"seconds": (86_400, False), "wild": (LOOKED_AT_A_DAY, True)}


def test_slots_that_a_pause_takes_are_marked_one_by_one_and_counted_where_there_are_many() -> None:
    jobs = [Job("few", Every(6 * HOUR), TICK), Job("many", Every(HOUR), TICK), Job("free", Every(6 * HOUR), TICK)]
    until = datetime(2026, 3, 3, 6, tzinfo=UTC)
    pauses = [Pause(number, name, NOW - HOUR, until, "ann") for number, name in enumerate(("few", "many"))]

    today, tomorrow = timetable(jobs, NOW, 2, "UTC", pauses)

    said = {(line.job_name, f"{line.at:%d %H}"): line.words for line in (*today.lines, *tomorrow.lines)}
    assert (said["few", "02 12"], said["few", "03 00"], said["few", "03 06"]) == (
        *["paused, so it will not run"] * 2,
        "",
    )
    assert {words for (name, _), words in said.items() if name == "free"} == {""}
    assert said["many", "02 08"] == "paused, so they will not run"
    assert said["many", "03 00"] == "6 of them paused, so they will not run"
    assert [line.paused for line in tomorrow.lines if line.job_name == "many"] == [6]


def test_a_pause_without_an_end_takes_every_slot_to_come() -> None:
    second = Job("seconds", Every(timedelta(seconds=1)), TICK)

    _, day = timetable([second], NOW, 2, "UTC", [Pause(1, "seconds", NOW, None, "ann")])

    assert [(line.count, line.paused) for line in day.lines] == [(86_400, 86_400)]


def test_the_difference_marks_days_on_which_clocks_jump() -> None:
    """F38."""
    before = Job("j", DailyAt(time(3, 30), "Europe/Riga"), TICK).definition()
    after = Job("j", DailyAt(time(3, 0), "Europe/Riga"), TICK).definition()
    found = difference("j", before, after, datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 29, 12, tzinfo=UTC))

    assert (found.gone, found.new) == (
        (datetime(2026, 3, 28, 1, 30, tzinfo=UTC),), (datetime(2026, 3, 28, 1, tzinfo=UTC),))  # fmt: skip
    assert found.unchanged == 1  # on the 29th both times are left out, and both run right after the jump
    assert found.kept_noted == (datetime(2026, 3, 29, 1, tzinfo=UTC),)
    assert found.notes[found.kept_noted[0]] == (
        "03:30 Europe/Riga does not exist that day; it runs right after the jump; "
        "03:00 Europe/Riga does not exist that day; it runs right after the jump"
    )
    assert found.as_dict()["unchanged_noted"] == [
        {"at": "2026-03-29T01:00:00Z", "note": found.notes[found.kept_noted[0]]}
    ]


# -- the slots around a moment


@pytest.mark.parametrize(
    "trigger",
    [
        Every(timedelta(minutes=7)),
        EveryBetween(timedelta(minutes=4), timedelta(minutes=9)),
        DailyAt(time(2, 30), "America/New_York"),
        Weekly([6], time(3), "Australia/Lord_Howe"),
        Cron("0 0 29 2 *"),
        Cron("*/5 8-9 1 1 *", "Europe/Riga"),
        Until(Every(timedelta(hours=1)), datetime(2024, 2, 29, tzinfo=UTC)),
    ],
    ids=str,
)
def test_the_slot_before_a_moment_is_found_as_surely_as_the_one_after(trigger: Trigger) -> None:
    early = previous(trigger, NOW)

    assert early is not None
    assert early < NOW
    assert is_slot(trigger, early)
    after = following(trigger, early)
    assert after is None or after >= NOW
    assert after == next(trigger.after(early), None)


def test_where_there_is_no_slot_around_a_moment_none_is_found() -> None:
    assert previous(OnRequest(), NOW) is following(OnRequest(), NOW) is None
    assert previous(Until(Every(HOUR), NOW - HOUR), datetime(1970, 1, 1, tzinfo=UTC)) is None


# -- what people type


@pytest.mark.parametrize(
    ("text", "past", "future"),
    [
        ("now", "2026-03-02T07:59:30", "2026-03-02T07:59:30"),
        ("08:00", "2026-03-01T08:00:00", "2026-03-02T08:00:00"),
        ("7:59", "2026-03-02T07:59:00", "2026-03-03T07:59:00"),
        ("07:59:30", "2026-03-02T07:59:30", "2026-03-03T07:59:30"),
        ("08:00Z", "2026-03-01T08:00:00", "2026-03-02T08:00:00"),
        ("09:00+02:00", "2026-03-02T07:00:00", "2026-03-03T07:00:00"),
        ("yesterday", "2026-03-01T00:00:00", "2026-03-01T00:00:00"),
        ("Yesterday 08:00", "2026-03-01T08:00:00", "2026-03-01T08:00:00"),
        ("tomorrow 08:00", "2026-03-03T08:00:00", "2026-03-03T08:00:00"),
        ("2026-02-28", "2026-02-28T00:00:00", "2026-02-28T00:00:00"),
        ("2026-02-28 08:00", "2026-02-28T08:00:00", "2026-02-28T08:00:00"),
        ("2026-02-28T08:00:00Z", "2026-02-28T08:00:00", "2026-02-28T08:00:00"),
        ("2026-02-28T08:00:00.250-0330", "2026-02-28T11:30:00.25", "2026-02-28T11:30:00.25"),
        ("2h", "2026-03-02T05:59:30", "2026-03-02T09:59:30"),
        ("2h ago", "2026-03-02T05:59:30", "2026-03-02T05:59:30"),
        ("in 1h30m", "2026-03-02T09:29:30", "2026-03-02T09:29:30"),
        (" 3d ", "2026-02-27T07:59:30", "2026-03-05T07:59:30"),
    ],
)
def test_a_typed_moment_is_what_people_mean_by_it(text: str, past: str, future: str) -> None:
    assert moment(text, NOW) == datetime.fromisoformat(past).replace(tzinfo=UTC)
    assert moment(text, NOW, prefer="future") == datetime.fromisoformat(future).replace(tzinfo=UTC)


def test_a_typed_moment_of_a_zone_knows_its_jumps_F38() -> None:
    assert moment("2026-03-29 03:30", NOW, "Europe/Riga") == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert moment("2026-10-25 03:30", NOW, "Europe/Riga") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert moment("09:59", NOW, "Europe/Riga") == datetime(2026, 3, 2, 7, 59, tzinfo=UTC)


@given(
    st.text(max_size=40) | st.from_regex(r"\A[0-9T:Z +-]{0,25}\Z") | st.from_regex(r"\A[0-9]{1,12} ?[smhdw](ago)?\Z")
)
def test_whatever_is_typed_is_a_moment_or_a_refusal_that_says_what_is_wanted(text: str) -> None:
    for read, wanted in ((lambda given: moment(given, NOW), "a moment such as"), (length, "a length such as")):
        try:
            told = str(read(text))
        except ValueError as error:
            told = str(error)
            refused = f"wanted: {wanted}" in told
        else:
            refused = False

        assert refused or told[0].isdecimal()
        assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("15min", 900),
        ("2h", 7200),
        ("3d", 259_200),
        ("1w", 604_800),
        ("1h30m", 5400),
        ("1 h", 3600),
    ],
)
def test_a_typed_length_adds_up(text: str, seconds: int) -> None:
    assert length(text) == timedelta(seconds=seconds)
