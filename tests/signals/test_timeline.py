"""Cadence, coverage, outages and second writers, on moments whose truth is known."""

from __future__ import annotations

import math
import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.signals.timeline import doubling, nice_floor, timeline

T = 1_760_000_040.0  # on a full minute
NOW = T + 10_000_000


def beats(count: int, every: float, start: float = T) -> list[float]:
    return [start + every * i for i in range(count)]


def test_minutes_covered_are_the_distinct_minutes_with_a_record() -> None:
    line = timeline(beats(60, 60) + beats(60, 60, T + 36_000), NOW)

    assert line.coverage is not None
    assert (line.coverage.covered, line.coverage.total, line.coverage.unit) == (120, 659, "minutes")
    assert [(gap.start, gap.end) for gap in line.outages] == [(T + 59 * 60, T + 36_000)]


def test_bursts_do_not_hide_the_cadence() -> None:
    moments = [t + delay for t in beats(100, 300) for delay in (0, 0.004, 0.09)]

    line = timeline(moments, NOW)

    assert (line.cadence, line.regular, len(line.visits)) == (300, True, 100)
    assert not line.outages
    assert line.coverage is not None
    assert line.coverage.share == 1


@pytest.mark.parametrize(("every", "missed", "told"), [(1, 2, 0), (1, 10, 1), (60, 1, 0), (60, 4, 1), (86_400, 1, 1)])
def test_a_silence_counts_by_the_signals_own_cadence(every: float, missed: int, told: int) -> None:
    moments = beats(30, every) + beats(30, every, T + (30 + missed) * every)

    assert len(timeline(moments, NOW).outages) == told


def test_a_signal_that_comes_by_chance_has_no_cadence_and_no_outages() -> None:
    dice = random.Random(5)
    moments = list(accumulate((dice.expovariate(1 / 120) for _ in range(3000)), initial=T))

    line = timeline(moments, NOW)

    assert not line.regular
    assert line.coverage is None
    assert not line.outages


def test_a_second_writer_shows_as_intervals_far_below_the_usual() -> None:
    line = timeline(beats(200, 60) + beats(20, 60, T + 3000 + 13), NOW)

    found = doubling(line)

    assert found is not None
    assert (found.count, found.limit) == (20, 30)
    assert (found.first, found.last) == (T + 3000, T + 3000 + 19 * 60)


def test_order_in_the_file_does_not_matter_and_is_noticed() -> None:
    moments = beats(50, 60)
    shuffled = random.Random(1).sample(moments, 50)

    one, two = timeline(moments, NOW), timeline(shuffled, NOW)

    assert (one.cadence, one.outages, list(one.times)) == (two.cadence, two.outages, list(two.times))
    assert one.backwards == 0 < two.backwards


def test_moments_no_clock_can_have_meant_stay_out_of_the_timeline() -> None:
    line = timeline([0.5, 1e8, *beats(50, 60, NOW - 3000), NOW + 3600, NOW + 400 * 86_400, math.nan], NOW)

    assert (line.before_clocks, line.ahead, line.left_out, line.untimed) == (2, 2, 1, 1)
    assert line.last == NOW + 3600


def test_a_file_that_lives_in_the_future_is_judged_by_its_own_order() -> None:
    line = timeline(beats(50, 60, NOW + 90 * 86_400), NOW)

    assert (line.cadence, line.ahead, len(line.times)) == (60, 50, 50)


@given(st.lists(st.just(math.nan) | st.floats(-1e12, 1e12), max_size=60))
def test_no_moments_make_it_raise(moments: list[float]) -> None:
    line = timeline(moments, NOW)

    assert len(line.times) + line.untimed + line.before_clocks + line.left_out == len(moments)
    if line.coverage:
        assert 0 <= line.coverage.share <= 1
    doubling(line)


@pytest.mark.parametrize(("half", "said"), [(30.5, 30), (0.6, 1), (4.9, 4), (153, 150), (91.6, 90), (12, 10)])
def test_a_limit_is_told_as_a_round_number(half: float, said: float) -> None:
    assert nice_floor(half) == said
