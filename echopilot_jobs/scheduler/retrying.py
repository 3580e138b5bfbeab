"""Whether an attempt that ended is followed by another, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from echopilot_jobs import backoff
from echopilot_jobs.engines import Ended
from echopilot_jobs.runs import BAD_ENDS, Origin, Outcome, State

RETRY_FOR = timedelta(hours=24)


def is_wanted(retry_on: Sequence[str], outcome: Outcome) -> bool:
    """Whether another attempt may follow a bad end: any, unless the job names those it is good for."""
    return not retry_on or any(_fits(word, outcome) for word in retry_on)


def _fits(word: str, outcome: Outcome) -> bool:
    kind, _, number = word.partition(" ")
    if kind == "http":
        status = str(outcome.http_status or "")
        return status[:1] == number[:1] if number.endswith("xx") else status == number
    if kind == "exit":
        return outcome.exit_status == int(number)
    return outcome.state.value == word


def retry_at(item: Ended, now: datetime, *, asked_to_stop: bool = False) -> datetime | None:
    """When the next attempt is due, or None when this was the last.

    A run that a stop of the stack interrupted continues with the next scheduler if it may be repeated, but a start-up run
    does not: the next start brings its own. What a person stopped (*asked_to_stop*) stays stopped. Attempts and their
    total time are bounded (I17); a wait the other side named is kept to if it is the longer one.
    """
    job, run, outcome = item.job, item.run, item.outcome
    if outcome.state is State.CANCELLED:
        may_go_on = job.idempotent and run.origin is not Origin.STARTUP and not asked_to_stop
        return now if may_go_on and outcome.interrupted else None
    if asked_to_stop or not _is_left(item):
        return None
    due = now + _wait(item)
    return due if due - _began(item) <= RETRY_FOR else None


def why_no_more(item: Ended, now: datetime, asked: str | None) -> str | None:
    """Why a run with attempts left gets none, where nobody would guess it; *asked* is who wanted it to stop."""
    if not _is_left(item):
        return None
    if asked is not None:
        return f"not tried again: {asked} asked it to stop"
    if now + _wait(item) - _began(item) > RETRY_FOR:
        return "not tried again: that would be more than a day after its first attempt"
    return None


def _is_left(item: Ended) -> bool:
    """Whether the job allows another attempt after this end."""
    may_follow = (
        item.outcome.state in BAD_ENDS and not item.outcome.final and is_wanted(item.job.retry_on, item.outcome)
    )
    return may_follow and item.run.attempt <= item.job.retries


def _wait(item: Ended) -> timedelta:
    return max(backoff.delay(item.run.attempt, seed=item.run.id), item.outcome.retry_after or timedelta(0))


def _began(item: Ended) -> datetime:
    return item.run.started_at or item.run.claimed_at
