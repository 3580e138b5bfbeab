"""A run's facts as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from echopilot_jobs.runs import SKIPPED, Origin, Run, State

BEGAN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ONCE = Run(7, "export", Origin.SCHEDULE, State.SUCCEEDED, BEGAN).changed(
    attempt=1, started_at=BEGAN, finished_at=BEGAN + timedelta(seconds=9), duration_ms=40
)


def at(moment: datetime) -> str:
    return f"{moment:%H:%M} UTC"


def test_a_run_of_one_attempt_took_what_was_measured() -> None:
    assert (ONCE.took, ONCE.took_words) == (timedelta(milliseconds=40), "40 ms")


def test_a_retried_run_took_the_time_from_its_first_start_to_its_end_and_says_the_attempts() -> None:
    run = ONCE.changed(attempt=3, finished_at=BEGAN + timedelta(minutes=3, seconds=20))

    assert run.took_words == "3 min 20 s in 3 attempts"


def test_a_clock_set_back_between_attempts_leaves_at_least_what_was_measured() -> None:
    assert ONCE.changed(attempt=2, finished_at=BEGAN - timedelta(hours=1)).took == timedelta(milliseconds=40)


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.RETRY_WAIT, State.ABANDONED])
def test_what_has_no_end_or_none_that_anybody_saw_took_nothing_yet(state: State) -> None:
    run = ONCE.changed(state=state, attempt=2)

    assert (run.took, run.took_words) == (None, None)


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        (State.QUEUED, None, "is queued"),
        (State.RETRY_WAIT, "bad luck", "is waiting to retry"),
        (State.SUCCEEDED, None, "succeeded"),
        (State.TIMED_OUT, "after 10 min", "timed out"),
        (State.ABANDONED, "its scheduler died", "was abandoned"),
        (State.CANCELLED, "cancelled by mia", "was cancelled"),
        (State.CANCELLED, f"{SKIPPED}no orders today", "skipped itself"),
    ],
)
def test_how_a_run_stands_reads_on_behind_its_number(state: State, error: str | None, said: str) -> None:
    assert ONCE.changed(state=state, error=error).stands == said


def test_states_are_words_and_a_wait_says_until_when() -> None:
    waits = ONCE.changed(state=State.RETRY_WAIT, not_before=BEGAN + timedelta(minutes=5))
    leaves = ONCE.changed(state=State.RUNNING, cancel_wanted="mia")

    assert [state.words for state in State if "_" in state.words] == []
    assert waits.state_words(at) == "waiting to retry at 08:05 UTC"
    assert leaves.state_words(at) == "running, asked to stop"
    assert ONCE.changed(state=State.TIMED_OUT).state_words(at) == "timed out"


def test_of_a_run_that_skipped_itself_no_person_reads_that_somebody_cancelled_it() -> None:
    skipped = ONCE.changed(state=State.CANCELLED, error=f"{SKIPPED}no orders today")
    cancelled = ONCE.changed(state=State.CANCELLED, error="cancelled by mia")

    assert (skipped.words, skipped.state_words(at)) == ("skipped itself", "skipped itself")
    assert skipped.as_dict()["state"] == "cancelled"
    assert (cancelled.words, cancelled.state_words(at)) == ("cancelled", "cancelled")


def test_the_error_of_the_attempt_before_is_told_as_that_while_a_run_runs_again() -> None:
    waiting = ONCE.changed(state=State.RETRY_WAIT, attempt=2, error="no answer")

    assert waiting.changed(state=State.RUNNING, attempt=3).error_words == "attempt 2: no answer"
    assert waiting.error_words == "no answer"
    assert waiting.changed(error=None).error_words == ""
