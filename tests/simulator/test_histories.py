"""Histories of faults on the product's own code, judged by an independent model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from echopilot_jobs.simulator import coverage
from echopilot_jobs.simulator.campaign import one, run
from echopilot_jobs.simulator.options import read_seeds
from echopilot_jobs.simulator.play import judge

HISTORIES = 2000
REGRESSIONS = Path(__file__).parent / "regressions.txt"


@pytest.mark.timeout(3600)  # it gives way to all other tests, on as many processors as they leave
def test_two_thousand_histories_break_no_promise_and_meet_every_policy_I1_I20() -> None:
    processes = min(os.cpu_count() or 1, 8)

    tally = run(range(HISTORIES), processes=processes)

    assert not tally.red, f"{[outcome.seed for outcome in tally.red]}\n{tally.red[0].trace}"
    assert coverage.missing(tally.counts, tally.histories) == []


@pytest.mark.parametrize("seed", read_seeds(REGRESSIONS))
def test_what_was_red_once_stays_green(seed: int) -> None:
    outcome = one(seed)

    assert not outcome.broken, outcome.trace


def test_a_seed_is_the_same_history_every_time() -> None:
    one_time, other_time = judge(7), judge(7)

    assert str(one_time.history) == str(other_time.history)
    assert one_time.truth.log == other_time.truth.log
    assert one_time.seen.runs() == other_time.seen.runs()


def test_a_run_that_never_met_a_policy_says_so() -> None:
    tally = run(range(3))

    found = coverage.missing(tally.counts, coverage.ENOUGH)

    assert "fault:kill: " in " ".join(found)
    assert coverage.missing(tally.counts, 3) == []
