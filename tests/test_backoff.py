"""Waits between attempts stay within their bounds and are the same whoever asks."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs import backoff


@given(attempt=st.integers(1, 10_000), seed=st.integers(0, 2**63))
def test_a_wait_is_never_tighter_than_a_second_nor_longer_than_the_most_I17(attempt: int, seed: int) -> None:
    wait = backoff.delay(attempt, seed=seed)

    assert backoff.LEAST <= wait <= min(backoff.BASE * 2 ** min(attempt - 1, 30), backoff.MOST)
    assert wait == backoff.delay(attempt, seed=seed)


def test_waits_of_many_runs_are_spread_over_the_whole_range_I17() -> None:
    waits = sorted(backoff.delay(5, seed=seed) for seed in range(200))

    assert waits[0] < timedelta(seconds=10)
    assert waits[-1] > timedelta(seconds=70)
    assert len(set(waits)) == 200


@given(seconds=st.one_of(st.none(), st.floats()))
def test_a_wait_somebody_names_is_bounded_whatever_they_say_F59(seconds: float | None) -> None:
    wait = backoff.wait_of(seconds)

    assert wait is None or timedelta(0) <= wait <= timedelta(days=365)
