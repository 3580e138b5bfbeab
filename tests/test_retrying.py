"""Which bad ends another attempt may follow, and who starts first."""

from __future__ import annotations

import pytest

from echopilot_jobs.runs import Outcome, State
from echopilot_jobs.scheduler.retrying import is_wanted


@pytest.mark.parametrize(
    ("retry_on", "outcome", "wanted"),
    [
        ((), Outcome(State.FAILED), True),
        ((), Outcome(State.TIMED_OUT), True),
        (("failed",), Outcome(State.FAILED, exit_status=1), True),
        (("failed",), Outcome(State.TIMED_OUT), False),
        (("timed_out",), Outcome(State.TIMED_OUT), True),
        (("timed_out",), Outcome(State.FAILED), False),
        (("http 503",), Outcome(State.FAILED, http_status=503), True),
        (("http 503",), Outcome(State.FAILED, http_status=502), False),
        (("http 5xx",), Outcome(State.FAILED, http_status=502), True),
        (("http 5xx",), Outcome(State.FAILED, http_status=404), False),
        (("http 5xx",), Outcome(State.FAILED), False),
        (("exit 75",), Outcome(State.FAILED, exit_status=75), True),
        (("exit 75",), Outcome(State.FAILED, exit_status=7), False),
        (("exit 75",), Outcome(State.FAILED), False),
        (("exit 75", "http 4xx"), Outcome(State.FAILED, http_status=429), True),
    ],
)
def test_a_job_that_names_bad_ends_is_tried_again_after_those_alone_I17(
    retry_on: tuple[str, ...], outcome: Outcome, wanted: bool
) -> None:
    assert is_wanted(retry_on, outcome) is wanted
