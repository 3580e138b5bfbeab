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
    if (
        outcome.state not in BAD_ENDS
        or run.attempt > job.retries
        or asked_to_stop
        or outcome.final
        or not is_wanted(job.retry_on, outcome)
    ):
        return None
    wait = max(backoff.delay(run.attempt, seed=run.id), outcome.retry_after or timedelta(0))
    began = run.started_at or run.claimed_at
    return now + wait if now + wait - began <= RETRY_FOR else None
