"""Triggers yield the right moments, whatever the question's moment and zone."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
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
    trigger_of,
    zone_named,
)

MOMENTS = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2050, 1, 1), timezones=st.just(UTC))
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(moment=MOMENTS, seconds=st.integers(1, 30 * 86_400), phase=st.integers(0, 3600))
def test_intervals_are_anchored_to_the_epoch_and_never_drift_I16(moment: datetime, seconds: int, phase: int) -> None:
    trigger = Every(timedelta(seconds=seconds), timedelta(seconds=phase))

    dues = list(islice(trigger.after(moment), 4))

    assert dues[0] > moment >= dues[0] - trigger.interval
    assert all((due.timestamp() - phase) % seconds == 0 for due in dues)
    assert all(b - a == trigger.interval for a, b in pairwise(dues))


def test_days_are_counted_in_the_zones_own_calendar() -> None:
    trigger = DailyAt(time(8), "Pacific/Apia", every_days=3)

    dues = list(islice(trigger.after(utc("2026-03-01T00:00")), 3))

    # 2026-03-02 is 20,514 days after 1970-01-01, which three divides; at 08:00 there it is still the day before in UTC.
    assert dues == [utc("2026-03-01T19:00"), utc("2026-03-04T19:00"), utc("2026-03-07T19:00")]


def test_weekly_rules_name_their_days_once_and_in_order() -> None:
    trigger = Weekly([3, 0, 3], time(9, 30), "Europe/Riga")

    dues = list(islice(trigger.after(utc("2026-03-01T00:00")), 3))

    assert trigger.days == (0, 3)
    assert trigger.period == timedelta(days=3)
    assert Weekly([2], time(9)).period == timedelta(days=7)
    assert dues == [utc("2026-03-02T07:30"), utc("2026-03-05T07:30"), utc("2026-03-09T07:30")]


def test_an_end_is_the_last_moment_and_is_itself_included() -> None:
    trigger = Until(Every(HOUR), datetime(2026, 3, 1, 4, 0, tzinfo=zone_named("Europe/Riga")))

    assert list(trigger.after(utc("2026-03-01T00:00"))) == [utc("2026-03-01T01:00"), utc("2026-03-01T02:00")]
    assert list(trigger.after(utc("2026-03-01T02:00"))) == []
    assert trigger.period == HOUR
    assert trigger.follows_real_time


def test_a_rule_on_request_has_no_moments_and_is_never_late() -> None:
    assert list(OnRequest().after(utc("2026-03-01"))) == []
    assert OnRequest().period > timedelta(days=10_000)


def test_intervals_and_wildcards_follow_real_time_and_fixed_times_the_calendar() -> None:
    follow: list[Trigger] = [
        Every(HOUR),
        EveryBetween(MINUTE, HOUR),
        Cron("*/5 9 * * *"),
        Cron("15 */2 * * *"),
        Cron("@hourly"),
    ]
    name: list[Trigger] = [DailyAt(time(8)), Weekly([0], time(8)), Cron("0 8 * * *"), Cron("0-59 8 * * *"), OnRequest()]

    assert [trigger.follows_real_time for trigger in follow] == [True] * 5
    assert [trigger.follows_real_time for trigger in name] == [False] * 5


@pytest.mark.parametrize(
    ("expression", "period"),
    [
        ("*/5 * * * *", 5 * MINUTE),
        ("*/5 9-17 * * 1-5", 5 * MINUTE),
        ("15 2 * * 1-5", DAY),
        ("0 9,17 * * *", 8 * HOUR),
        ("@weekly", 7 * DAY),
        ("0 0 1 * *", 31 * DAY),
        ("0 0 29 2 *", 1461 * DAY),
    ],
)
def test_the_period_of_a_cron_rule_is_its_usual_distance(expression: str, period: timedelta) -> None:
    assert Cron(expression).period == period


def test_cron_macros_are_their_expressions() -> None:
    start = utc("2026-03-01T00:30")

    assert next(Cron("@hourly").after(start)) == utc("2026-03-01T01:00")
    assert next(Cron("@daily", "Europe/Riga").after(start)) == utc("2026-03-01T22:00")
    assert next(Cron("@Weekly").after(start)) == utc("2026-03-08T00:00")
    assert next(Cron("@monthly").after(start)) == utc("2026-04-01T00:00")
    assert next(Cron("@yearly").after(start)) == utc("2027-01-01T00:00")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("31 2 31 2 *", "can never fire; wanted: days and times that exist"),
        ("0 0 30 2 *", "can never fire"),
        ("0 0 31 4,6,9,11 *", "can never fire"),
        ("*/5 2 * 3 SUN#2", "can never fire in 'America/New_York'"),  # the hour that its spring gap leaves out
        ("61 * * * *", "bad minute; wanted: minute 0-59, alone or as in 1,2 or 1-5 or "),
        ("*/0 * * * *", "bad minute"),
        ("0 24 * * *", "bad hour; wanted: hour 0-23"),
        ("0 0 32 * *", "bad day-of-month; wanted: day 1-31"),
        ("0 0 * 13 *", "bad month; wanted: month 1-12 or jan-dec"),
        ("0 0 * * 8", "bad day-of-week; wanted: weekday 0-7 or sun-sat"),
        ("0 0 * * MON#2/3", "bad"),
        ("0 0 1W * *", "bad day-of-month"),
        ("a b c d e", "bad minute"),
        ("-5 * * * *", "bad minute"),
        ("1,,2 * * * *", "bad minute"),
        ("", "has 0 fields; wanted five: minute hour day-of-month month day-of-week"),
        ("* * * *", "has 4 fields"),
        ("0 * * * * *", "has 6 fields; wanted five: .*; for seconds use 'every'"),
        ("@reboot", "wanted: @yearly, .*; for a run at start-up use 'on_startup'"),
        ("@often", "wanted: @yearly"),
        ("1" * 5000 + " * * * *", "at most 200 characters"),
        ("٣ * * * *", "bad minute"),
        ("\x1b[2J * * * *", r"cron 'U\+001B\[2J"),
    ],
)
def test_a_cron_expression_that_cannot_be_is_refused_in_one_line(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        Cron(expression, "America/New_York")

    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@given(text=st.text(alphabet="0123456789*/,-#LWMONSUN ", max_size=30))
def test_any_text_is_a_cron_expression_or_refused(text: str) -> None:
    try:
        trigger = Cron(text)
    except ValueError as error:
        refused = str(error)
    else:
        refused = ""
        assert next(trigger.after(utc("2026-01-01"))) > utc("2026-01-01")

    assert refused.startswith("cron '" if refused else "")


def test_a_cron_rule_explains_itself_in_english() -> None:
    assert Cron("15 2 * * 1-5").in_words() == "At 02:15 on Monday through Friday"
    assert Cron("@daily").in_words() == "At 00:00 every day"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 9 1 * 1", "At 09:00 on the first day of month or on Monday"),
        ("0 9 1,15 1 1,3", "At 09:00 on the first and the 15th day of month or on Monday and Wednesday in January"),
        ("0 9 */2 * 1", "At 09:00 on every second day of month if it's on Monday"),
    ],
)
def test_words_of_both_day_fields_say_whether_one_is_enough(expression: str, words: str) -> None:
    assert Cron(expression).in_words() == words


def test_a_scheduler_without_cron_rules_does_not_load_the_cron_library() -> None:
    program = "import sys; from echopilot_jobs.triggers import *; Weekly([0], __import__('datetime').time(8)); "

    loaded = [
        subprocess.run(
            [sys.executable, "-c", program + more], capture_output=True, check=True, text=True
        ).stdout.strip()
        for more in ("print('cronsim' in sys.modules)", "Cron('* * * * *'); print('cronsim' in sys.modules)")
    ]

    assert loaded == ["False", "True"]


NO_ZONES = ["", " ", "Mars/Phobos", "/etc/passwd", "../../x", "Europe/Riga\0", "Europe/", "Europe", "EST", "CET", "GMT"]
MISLEADING = ["UTC+2", "GMT+2", "europe/riga", "E. Europe Standard Time", "right/UTC", "posix/UTC", "localtime"]


@pytest.mark.parametrize("name", [*NO_ZONES, *MISLEADING, "Eur\u202eope/Riga", "x" * 999])
def test_a_zone_that_is_none_is_refused_in_one_line_that_names_near_ones_F39(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"wanted: 'UTC' or an IANA name(?: such as|; did you mean) '[A-Z][A-Za-z]+/"
    ) as refused:
        zone_named(name)

    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_the_nearest_zones_are_named_for_a_slip() -> None:
    with pytest.raises(ValueError, match="did you mean 'Europe/Riga'\\?"):
        DailyAt(time(8), "europe/rigga")
    with pytest.raises(ValueError, match="'America/New_York'"):
        Cron("0 8 * * *", "America/NewYork")


@pytest.mark.parametrize("interval", [timedelta(0), timedelta(seconds=-5), timedelta(milliseconds=500)])
def test_an_interval_that_cannot_be_is_refused(interval: timedelta) -> None:
    with pytest.raises(ValueError, match="whole seconds, at least 1 s"):
        Every(interval)
    with pytest.raises(ValueError, match="whole seconds, at least 1 s"):
        EveryBetween(interval, HOUR)


def test_rules_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"phase '0:00:00.500000'; wanted: whole seconds"):
        Every(MINUTE, timedelta(milliseconds=500))
    with pytest.raises(ValueError, match=r"from '1:00:00' to '0:01:00'; wanted: the shorter length first"):
        EveryBetween(HOUR, MINUTE)
    with pytest.raises(ValueError, match="every '0' days; wanted: from 1 to 36500"):
        DailyAt(time(8), every_days=0)
    with pytest.raises(ValueError, match=r"wanted: at least one, from 0 .monday. to 6 .sunday."):
        Weekly([], time(8))
    with pytest.raises(ValueError, match=r"days \[7\]; wanted"):
        Weekly([7], time(8))
    with pytest.raises(ValueError, match="whole seconds, without a zone or a fold of its own"):
        DailyAt(time(8, tzinfo=UTC))
    with pytest.raises(ValueError, match="whole seconds, without a zone or a fold of its own"):
        Weekly([0], time(8, 0, 0, 5))
    with pytest.raises(ValueError, match="wanted: a moment with a zone"):
        Until(Every(HOUR), datetime(2026, 3, 1))
    with pytest.raises(ValueError, match="two ends"):
        Until(Until(Every(HOUR), utc("2026-03-01")), utc("2026-03-02"))


WORDS: dict[str, Trigger] = {
    "every 1 min": Every(MINUTE),
    "every 6 h": Every(6 * HOUR),
    "every 1 d": Every(DAY),
    "every 90 s": Every(timedelta(seconds=90)),
    "every 1 h at :30": Every(HOUR, 30 * MINUTE),
    "every 1 h at :07:30": Every(HOUR, 7.5 * MINUTE),
    "every 15 min from :05": Every(15 * MINUTE, 5 * MINUTE),
    "every 1 min at second 17": Every(MINUTE, 17 * SECOND),
    "every 20 s from second 5": Every(20 * SECOND, 25 * SECOND),
    "every 6 h from 00:30 UTC": Every(6 * HOUR, -5.5 * HOUR),
    "every 7 h, shifted by 90 min": Every(7 * HOUR, 90 * MINUTE),
    "every 5 s to 2 min": EveryBetween(5 * SECOND, 2 * MINUTE),
    "daily at 08:00 UTC": DailyAt(time(8, 0)),
    "every 3 days at 08:00:30 Europe/Riga": DailyAt(time(8, 0, 30), "Europe/Riga", 3),
    "mondays, thursdays at 09:30 UTC": Weekly([0, 3], time(9, 30)),
    "weekdays at 09:30 UTC": Weekly(range(5), time(9, 30)),
    "cron '15 2 * * 1-5' Europe/Riga": Cron("15  2 * *   1-5", "Europe/Riga"),
    "on request": OnRequest(),
    "every 1 h, until 2026-03-01 02:00:00Z": Until(Every(HOUR), utc("2026-03-01T02:00")),
}
FACTS: dict[str, dict[str, object]] = {
    "every 90 s": {"kind": "every", "interval_s": 90, "phase_s": 0},
    "every 5 s to 2 min": {"kind": "every_between", "low_s": 5, "high_s": 120},
    "daily at 08:00 UTC": {"kind": "daily", "at": "08:00", "zone": "UTC", "every_days": 1},
    "mondays, thursdays at 09:30 UTC": {"kind": "weekly", "days": [0, 3], "at": "09:30", "zone": "UTC"},
    "cron '15 2 * * 1-5' Europe/Riga": {"kind": "cron", "expression": "15 2 * * 1-5", "zone": "Europe/Riga"},
    "on request": {"kind": "on_request"},
    "every 1 h, until 2026-03-01 02:00:00Z": {
        "kind": "until",
        "trigger": {"kind": "every", "interval_s": 3600, "phase_s": 0},
        "moment": "2026-03-01T02:00:00Z",
    },
}


def test_triggers_say_what_they_are_in_words() -> None:
    assert [str(trigger) for trigger in WORDS.values()] == list(WORDS)


@pytest.mark.parametrize("words", FACTS)
def test_the_stored_form_of_a_rule_is_pinned_for_ledgers_of_earlier_releases(words: str) -> None:
    assert WORDS[words].as_dict() == FACTS[words]
    assert trigger_of(FACTS[words]) == WORDS[words]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ("{}", "a trigger of the kind 'None'; known: every, every_between, daily"),
        ("[]", "a trigger of the kind 'None'"),
        ('"every"', "a trigger of the kind 'None'"),
        ('{"kind": ["every"]}', "a trigger of the kind 'None'|known: every"),
        ('{"kind": "monthly"}', "a trigger of the kind 'monthly'; known"),
        ('{"kind": "every"}', "a trigger of the kind 'every' with nothing; wanted: interval_s, phase_s"),
        ('{"kind": "every", "interval_s": 60, "phase_s": 0, "x": 1}', "with interval_s, phase_s, x; wanted"),
        ('{"kind": "every", "interval_s": "60", "phase_s": 0}', "interval_s '60'; wanted: a whole number"),
        ('{"kind": "every", "interval_s": true, "phase_s": 0}', "interval_s 'True'; wanted: a whole number"),
        ('{"kind": "every", "interval_s": 1.5, "phase_s": 0}', "interval_s '1.5'; wanted: a whole number"),
        ('{"kind": "every", "interval_s": NaN, "phase_s": 0}', "interval_s 'nan'; wanted: a whole number"),
        ('{"kind": "every", "interval_s": 0, "phase_s": 0}', "at least 1 s"),
        ('{"kind": "every", "interval_s": 1' + "0" * 4000 + ', "phase_s": 0}', "a number of more than 30 digits"),
        ('{"kind": "daily", "at": "24:00", "zone": "UTC", "every_days": 1}', "at '24:00'; wanted: 'HH:MM'"),
        ('{"kind": "daily", "at": "8:00", "zone": "UTC", "every_days": 1}', "at '8:00'; wanted: 'HH:MM'"),
        ('{"kind": "daily", "at": 800, "zone": "UTC", "every_days": 1}', "at '800'; wanted: a text"),
        ('{"kind": "daily", "at": "08:00", "zone": "EST", "every_days": 1}', "zone 'EST'; wanted: 'UTC' or"),
        ('{"kind": "weekly", "days": 1, "at": "08:00", "zone": "UTC"}', "days '1'; wanted: a list of weekday numbers"),
        ('{"kind": "weekly", "days": ["mon"], "at": "08:00", "zone": "UTC"}', "days 'mon'; wanted: a whole number"),
        ('{"kind": "cron", "expression": "x", "zone": "UTC"}', "has 1 field;"),
        ('{"kind": "until", "trigger": {"kind": "on_request"}, "moment": "2026-03-01"}', "wanted: a moment such as"),
        ('{"kind": "until", "trigger": {"kind": "on_request"}, "moment": "soon\\n"}', "moment 'soonU\\+000A'"),
        ('{"kind": "until", "trigger": {"kind": "until"}, "moment": "2026-03-01T00:00Z"}', "without an end of its own"),
        ('{"kind": "until", "trigger": 5, "moment": "2026-03-01T00:00Z"}', "trigger '5'; wanted"),
    ],
)
def test_facts_that_are_no_rule_are_refused_in_one_line(facts: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        trigger_of(json.loads(facts))

    assert "\n" not in str(refused.value)
