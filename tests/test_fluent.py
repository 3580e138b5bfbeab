"""Definitions in the library's fluent words mean what its documentation promises, and nothing it does besides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
import schedule

from echopilot_jobs.fluent import FluentError, Translation, Words, every, translate
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Cron, DailyAt, Every, EveryBetween, Until, Weekly

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 3, 2, 7, 59, 30, tzinfo=UTC)  # a Monday

# What is said, and the first moments after START that the documentation promises: day of March and time, all UTC.
PROMISED: dict[str, tuple[Callable[[], schedule.Job], str]] = {
    "every second": (lambda: every().second, "2 07:59:31, 2 07:59:32"),
    "every 10 seconds": (lambda: every(10).seconds, "2 07:59:40, 2 07:59:50"),
    "every minute": (lambda: every().minute, "2 08:00:00, 2 08:01:00"),
    "every 10 minutes": (lambda: every(10).minutes, "2 08:00:00, 2 08:10:00"),
    "every 90 minutes": (lambda: every(90).minutes, "2 09:00:00, 2 10:30:00"),
    "every hour": (lambda: every().hour, "2 08:00:00, 2 09:00:00"),
    "every 6 hours": (lambda: every(6).hours, "2 12:00:00, 2 18:00:00"),
    "every day and a half in hours": (lambda: every(36).hours, "3 12:00:00, 5 00:00:00"),
    "every half hour": (lambda: every(0.5).hours, "2 08:00:00, 2 08:30:00"),  # type: ignore[arg-type]
    "every day": (lambda: every().day, "3 00:00:00, 4 00:00:00"),
    "every 3 days": (lambda: every(3).days, "5 00:00:00, 8 00:00:00"),
    "every week": (lambda: every().week, "5 00:00:00, 12 00:00:00"),
    "every 2 weeks": (lambda: every(2).weeks, "12 00:00:00, 26 00:00:00"),
    "minute at :17": (lambda: every().minute.at(":17"), "2 08:00:17, 2 08:01:17"),
    "minute at :45": (lambda: every().minute.at(":45"), "2 07:59:45, 2 08:00:45"),
    "minute at :17 in a zone": (lambda: every().minute.at(":17", "Asia/Kathmandu"), "2 08:00:17, 2 08:01:17"),
    "5 minutes at :30": (lambda: every(5).minutes.at(":30"), "2 08:00:30, 2 08:05:30"),
    "hour at :30": (lambda: every().hour.at(":30"), "2 08:30:00, 2 09:30:00"),
    "hour at 15:20": (lambda: every().hour.at("15:20"), "2 08:15:20, 2 09:15:20"),
    "hour at :59": (lambda: every().hour.at(":59"), "2 08:59:00, 2 09:59:00"),
    "2 hours at 20:30": (lambda: every(2).hours.at("20:30"), "2 08:20:30, 2 10:20:30"),
    "hour at :30 in whole hours from UTC": (lambda: every().hour.at(":30", "Europe/Riga"), "2 08:30:00, 2 09:30:00"),
    "hour at :30 in India": (lambda: every().hour.at(":30", "Asia/Kolkata"), "2 08:00:00, 2 09:00:00"),
    "hour at 10:05 in Nepal": (lambda: every().hour.at("10:05", "Asia/Kathmandu"), "2 08:25:05, 2 09:25:05"),
    "hour at :30 on Lord Howe": (lambda: every().hour.at(":30", "Australia/Lord_Howe"), "2 08:30:00, 2 09:30:00"),
    "day at 10:30": (lambda: every().day.at("10:30"), "2 10:30:00, 3 10:30:00"),
    "day at 10:30:42": (lambda: every().day.at("10:30:42"), "2 10:30:42, 3 10:30:42"),
    "day at 07:00": (lambda: every().day.at("07:00"), "3 07:00:00, 4 07:00:00"),
    "day at 12:42 in Amsterdam": (lambda: every().day.at("12:42", "Europe/Amsterdam"), "2 11:42:00, 3 11:42:00"),
    "day at 08:00 in New York": (lambda: every().day.at("08:00", "America/New_York"), "2 13:00:00, 3 13:00:00"),
    "day at a ZoneInfo": (lambda: every().day.at("08:00", ZoneInfo("Asia/Kolkata")), "3 02:30:00, 4 02:30:00"),
    "3 days at 08:00": (lambda: every(3).days.at("08:00"), "2 08:00:00, 5 08:00:00"),
    "monday": (lambda: every().monday, "9 00:00:00, 16 00:00:00"),
    "tuesday": (lambda: every().tuesday, "3 00:00:00, 10 00:00:00"),
    "wednesday at 13:15": (lambda: every().wednesday.at("13:15"), "4 13:15:00, 11 13:15:00"),
    "thursday at 00:00:05": (lambda: every().thursday.at("00:00:05"), "5 00:00:05, 12 00:00:05"),
    "friday": (lambda: every().friday, "6 00:00:00, 13 00:00:00"),
    "saturday at 23:59": (lambda: every().saturday.at("23:59"), "7 23:59:00, 14 23:59:00"),
    "sunday at 01:00 in Riga": (lambda: every().sunday.at("01:00", "Europe/Riga"), "7 23:00:00, 14 23:00:00"),
    "monday at 08:00": (lambda: every().monday.at("08:00"), "2 08:00:00, 9 08:00:00"),
    "to the same": (lambda: every(10).to(10).minutes, "2 08:00:00, 2 08:10:00"),
    "until a date": (lambda: every().day.at("08:00").until("2026-03-04"), "2 08:00:00, 3 08:00:00, end"),
    "until a minute": (lambda: every().hour.until("2026-03-02 09:00"), "2 08:00:00, 2 09:00:00, end"),
    "until a second": (lambda: every().hour.until("2026-03-02 09:59:59"), "2 08:00:00, 2 09:00:00, end"),
    "until a time today": (lambda: every(1, FakeClock(START)).hour.until("09:30"), "2 08:00:00, 2 09:00:00, end"),
    "until a time with seconds": (
        lambda: every(1, FakeClock(START)).hour.until("09:00:00"),
        "2 08:00:00, 2 09:00:00, end",
    ),
    "until a time of day": (lambda: every(1, FakeClock(START)).hour.until(time(9, 30)), "2 08:00:00, 2 09:00:00, end"),
    "until a length": (
        lambda: every(1, FakeClock(START)).hour.until(timedelta(hours=2)),
        "2 08:00:00, 2 09:00:00, end",
    ),
    "until a naive moment": (lambda: every().hour.until(datetime(2026, 3, 2, 9)), "2 08:00:00, 2 09:00:00, end"),
    "until a moment elsewhere": (
        lambda: every().hour.until(datetime(2026, 3, 2, 11, tzinfo=timezone(timedelta(hours=2)))),
        "2 08:00:00, 2 09:00:00, end",
    ),
    "until it is over": (lambda: every().hour.until("2020-01-01"), "end"),
    "the library's own": (lambda: schedule.every(10).minutes, "2 08:00:00, 2 08:10:00"),
    "the library's own day": (lambda: schedule.every().day.at("10:30:42"), "2 10:30:42, 3 10:30:42"),
    "the library's own weekday": (lambda: schedule.every().wednesday.at("13:15"), "4 13:15:00, 11 13:15:00"),
    "the library's own end": (lambda: schedule.every().day.until("2090-01-01 00:00"), "3 00:00:00, 4 00:00:00"),
}


def promised(text: str) -> list[datetime | None]:
    """The moments in *text*; None stands for the end."""
    words = [part.split() for part in text.split(", ")]
    return [
        None
        if word[0] == "end"
        else datetime.combine(datetime(2026, 3, int(word[0])), time.fromisoformat(word[1]), UTC)
        for word in words
    ]


@pytest.mark.parametrize("said", PROMISED)
def test_a_definition_yields_the_moments_the_documentation_promises(said: str) -> None:
    make, text = PROMISED[said]
    expected = promised(text)

    moments = translate(make()).trigger.after(START)

    assert [next(moments, None) for _ in expected] == expected


def test_words_become_the_rule_one_would_write_by_hand() -> None:
    pairs = {
        every(6).hours: Every(6 * HOUR),
        every().hour.at(":30"): Every(HOUR, 30 * MINUTE),
        every(5).to(10).minutes: EveryBetween(5 * MINUTE, 10 * MINUTE),
        every(5).to(5).minutes: Every(5 * MINUTE),
        every(2).days.at("08:00", "Europe/Riga"): DailyAt(time(8), "Europe/Riga", 2),
        every().monday.at("09:30"): Weekly([0], time(9, 30)),
        every().hour.at(":15", "Australia/Lord_Howe"): Cron("15 * * * *", "Australia/Lord_Howe"),
        every().day.until("2026-03-04"): Until(Every(DAY), datetime(2026, 3, 4, tzinfo=UTC)),
    }

    assert [translate(words).trigger for words in pairs] == list(pairs.values())


def test_irregular_intervals_keep_within_the_range_said_both_ends_included() -> None:
    trigger = translate(every(5).to(10).seconds).trigger

    dues = list(islice(trigger.after(START), 2000))

    assert {(late - early) // SECOND for early, late in pairwise(dues)} == {5, 6, 7, 8, 9, 10}


def test_tags_are_texts_in_order_without_repetition() -> None:
    assert translate(every().day.tag("b", "a").tag("a", 7)) == Translation(Every(DAY), ("7", "a", "b"))
    assert translate(every().day).tags == ()


def test_a_zoned_day_is_not_doubled_after_the_spring_gap_F38() -> None:
    trigger = translate(every().day.at("02:30", "Europe/Berlin")).trigger

    dues = list(islice(trigger.after(datetime(2026, 3, 28, 12, tzinfo=UTC)), 2))

    assert dues == [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 3, 30, 0, 30, tzinfo=UTC)]


def test_a_zone_by_pytz_is_known_by_its_name() -> None:
    class Zone(tzinfo):
        """What pytz gives: a tzinfo with its name in `zone`."""

        zone = "Europe/Riga"

        def utcoffset(self, moment: datetime | None) -> timedelta:
            return timedelta(hours=2)

        dst = utcoffset

        def tzname(self, moment: datetime | None) -> str:
            return "EET"

    said = schedule.every().day.at("08:00")
    said.at_time_zone = Zone()

    assert translate(said).trigger == DailyAt(time(8), "Europe/Riga")
    assert translate(every().day.at("08:00", Zone())).trigger == DailyAt(time(8), "Europe/Riga")


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "nothing": (every, r"every\(1\) of nothing; wanted: seconds, minutes, hours, days, weeks or a day"),
    "only tags": (lambda: every(5).tag("x"), r"every\(5\) of nothing"),
    "no definition": (lambda: "every day", "'every day' is not a definition; wanted: words such as"),
    "a month": (lambda: every().month, "unit 'month'; known: seconds, .*; else use cron"),
    "two years": (lambda: every(2).years, "unit 'years'; known"),
    "zero": (lambda: every(0).minutes, r"every\(0\).minutes: interval '0:00:00'; wanted: whole seconds, at least 1 s"),
    "less than zero": (lambda: every(-1).hours, r"every\(-1\).hours: interval"),
    "part of a second": (lambda: every(0.25).seconds, "wanted: whole seconds"),  # type: ignore[arg-type]
    "a text": (lambda: every("5").hours, "every '5' hours; wanted: a number"),  # type: ignore[arg-type]
    "a truth": (lambda: every(True).hours, "every 'True' hours; wanted: a number"),
    "no number": (lambda: every(float("nan")).hours, "every 'nan' hours; wanted"),  # type: ignore[arg-type]
    "too long": (lambda: every(10**12).weeks, "every '1000000000000' weeks; wanted"),
    "half days at a time": (lambda: every(1.5).days.at("08:00"), "wanted: whole days"),  # type: ignore[arg-type]
    "24:00": (lambda: every().day.at("24:00"), "at '24:00' after 'days'; wanted: 'HH:MM' or 'HH:MM:SS' for days"),
    "8:0": (lambda: every().day.at("8:0"), "at '8:0' after 'days'"),
    "08:00 PM": (lambda: every().day.at("08:00 PM"), "at '08:00 PM' after 'days'"),
    "a number for a time": (lambda: every().day.at(800), "at '800' after 'days'"),
    "a day's time for a minute": (lambda: every().minute.at("08:00"), "at '08:00' after 'minutes'; wanted: .* ':SS'"),
    "a time before the unit": (lambda: every().at("08:00"), "at '08:00' after 'nothing yet'; wanted"),
    "a time for seconds": (lambda: every(30).seconds.at(":10"), "at ':10' after 'seconds'"),
    "a time for weeks": (lambda: every().week.at("08:00"), "at '08:00' after 'weeks'"),
    "a time and then seconds": (lambda: every(90).hours.at(":10").seconds, "wanted: 'HH:MM'"),
    "an unknown zone": (lambda: every().day.at("08:00", "Mars/Phobos"), "zone 'Mars/Phobos'; wanted: 'UTC' or"),
    "an abbreviation": (lambda: every().day.at("08:00", "EST"), "zone 'EST'; wanted"),
    "an offset": (lambda: every().day.at("08:00", timezone(HOUR)), r"zone 'UTC\+01:00'; wanted"),
    "seconds past the hour on Lord Howe": (
        lambda: every().hour.at("10:05", "Australia/Lord_Howe"),
        "whose clocks jump by part of an hour; wanted: UTC, or use cron",
    ),
    "every second hour on Lord Howe": (
        lambda: every(2).hours.at(":30", "Australia/Lord_Howe"),
        "wanted: UTC, or use cron",
    ),
    "a range with a time": (
        lambda: every(1).to(3).days.at("08:00"),
        "at a fixed time or day; wanted: one or the other",
    ),
    "a range with a weekday": (lambda: every().to(3).monday, "at a fixed time or day"),
    "a range backwards": (lambda: every(10).to(5).minutes, "from '0:10:00' to '0:05:00'; wanted: the shorter length"),
    "a weekday in days": (lambda: every().monday.days, "on 'monday'; wanted: every.. before a day of the week"),
    "an end beyond the calendar": (lambda: every().day.until(timedelta.max), "wanted: an end before the year 10000"),
    "an end in words": (lambda: every().day.until("tomorrow"), "until 'tomorrow'; wanted: 'YYYY-MM-DD'"),
    "an end as a number": (lambda: every().day.until(5), "until '5'; wanted"),
    "an end on no day": (lambda: every().day.until("2026-02-30"), "until '2026-02-30'; wanted"),
    "something to do": (lambda: every().day.do(print), "'.do' with 'print'; a definition says only when"),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_has_no_moments_is_refused_in_one_line(said: str) -> None:
    make, message = REFUSED[said]

    with pytest.raises(ValueError, match=message) as refused:
        translate(make())  # type: ignore[arg-type]

    assert "\n" not in str(refused.value)


def test_the_librarys_own_refusals_stay_its_own() -> None:
    with pytest.raises(schedule.IntervalError):
        _ = every(2).day
    with pytest.raises(schedule.IntervalError):
        _ = every(2).monday
    with pytest.raises(AttributeError, match="has no attribute 'fortnight'"):
        _ = every().fortnight
    assert issubclass(FluentError, schedule.ScheduleValueError)


def test_the_parts_of_the_library_that_are_read_are_where_they_were() -> None:
    said = schedule.every(5).to(7).days.at("10:30:42").until("2090-01-01").tag("a")

    assert {name: value for name, value in vars(said).items() if name != "scheduler"} == {
        "interval": 5,
        "latest": 7,
        "unit": "days",
        "at_time": time(10, 30, 42),
        "at_time_zone": None,
        "start_day": None,
        "cancel_after": datetime(2090, 1, 1),
        "tags": {"a"},
        "job_func": None,
        "last_run": None,
        "next_run": None,
    }
    assert schedule.every().monday.start_day == "monday"
    assert schedule.every().monday.unit == "weeks"
    assert schedule.every().hour.at(":30").at_time == time(0, 30)
    assert schedule.every().hour.at("30:15").at_time == time(0, 30, 15)
    assert schedule.every().minute.at(":15").at_time == time(0, 0, 15)


def test_a_definition_is_bound_to_nothing_that_could_run_it() -> None:
    said = every(10).minutes

    assert isinstance(said, Words)
    assert isinstance(said, schedule.Job)
    assert said.scheduler is None
    assert said not in schedule.get_jobs()
