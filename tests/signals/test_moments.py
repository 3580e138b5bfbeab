"""Moments in every usual writing become UTC epoch seconds; nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.signals.moments import lasting, minute, moment

AT = datetime(2025, 10, 27, 21, 25, 3, tzinfo=UTC)
WHOLE = AT.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "2025-10-27T21:25:03Z",
        "2025-10-27 21:25:03",
        "2025-10-27T21:25:03.000000000Z",
        "2025-10-27T21:25:03,000Z",
        "2025-10-27 21:25:03 UTC",
        "2025-10-27 21:25:03 +0000",
        "2025-10-27T23:25:03+02:00",
        "2025-10-27T15:55:03-05:30",
        "20251027T212503Z",
        "2025/10/27 21:25:03",
        "Mon, 27 Oct 2025 21:25:03 GMT",
        "27/Oct/2025:21:25:03 +0000",
        "  2025-10-27T21:25:03Z ",
        "1761600303",
        "1761600303.0",
        1761600303,
        1761600303.0,
        1761600303000,
        1761600303000000,
        1761600303000000000,
    ],
)
def test_one_moment_in_any_writing_is_one_number(text: object) -> None:
    assert moment(text) == WHOLE


def test_a_text_without_a_zone_is_utc_and_a_day_is_its_midnight() -> None:
    assert moment("2025-10-27") == moment("20251027") == datetime(2025, 10, 27, tzinfo=UTC).timestamp()


def test_a_leap_second_is_the_second_before() -> None:
    assert moment("2016-12-31T23:59:60Z") == moment("2016-12-31T23:59:59Z")


@pytest.mark.parametrize(
    "value",
    [None, True, False, "", "soon", "12:30", 0, 62, -1761600303, 3.2e8 * 1e30, float("nan"), float("inf"), 10**400,
     "2025-13-45T00:00:00Z", "10.0.0.1", "2025-10-27T99:00", "1.2.3", "20259999", [], {}, "2025-10-27" * 30, "9" * 400],
)  # fmt: skip
def test_what_is_no_moment_gives_none(value: object) -> None:
    assert moment(value) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_no_value_makes_it_raise(value: Any) -> None:
    found = moment(value)

    assert found is None or 0 < found < 253_400_000_000
    if found is not None:
        assert minute(found).endswith(" UTC")


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["T", " "]),
)
def test_every_iso_moment_is_read_as_what_it_is(naive: datetime, offset: int, between: str) -> None:
    aware = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))

    found = moment(aware.isoformat(sep=between))

    assert found is not None
    assert abs(found - aware.timestamp()) < 1e-4


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "250 ms"), (9.5, "9.5 s"), (61, "61 s"), (300.4, "5.0 min"), (7300, "2.0 h"), (794_520, "220.7 h"),
     (1_430_238, "16.6 days")],
)  # fmt: skip
def test_durations_are_told_in_the_unit_a_person_would_use(seconds: float, words: str) -> None:
    assert lasting(seconds) == words
