"""Sentences about what became of a slot: why it has no run, what it was missed in, how its run went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from echopilot_jobs.clock import iso
from echopilot_jobs.holds import Hold, HoldAnswer, Pause
from echopilot_jobs.outages import IN_WORDS, SILENT_ABOVE, Outage
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record
from echopilot_jobs.runs import LATE_AFTER, Origin, Run, State
from echopilot_jobs.slots import SkipReason
from echopilot_jobs.spans import relative, span

if TYPE_CHECKING:
    from echopilot_jobs.ledger import Ledger

Show = Callable[[datetime], str]  # a moment as it is to be read, in whatever zone was asked for
LOOK_BACK = timedelta(days=1)
LOOKED_AT_MOST = 50
ERROR_MOST = 200
NAMED_MOST = 3


@record(frozen=True)
class Given:
    """What is known of a skipped slot: when it was due, when it was decided about, and the definition of that time."""

    job_name: str
    due: datetime
    decided_at: datetime
    definition: Mapping[str, Any]


def skip_words(ledger: Ledger, reason: SkipReason, given: Given, show: Show) -> str:
    """Why a slot was skipped, as one clause."""
    if reason in _PLAIN_WORDS:
        late = reason is SkipReason.DISABLED and given.decided_at - given.due > SILENT_ABOVE
        return (
            f"when it was decided, at {show(given.decided_at)}, the job was disabled" if late else _PLAIN_WORDS[reason]
        )
    if reason is SkipReason.EXPIRED:
        return _expired(given, show)
    if reason is SkipReason.COALESCED:
        newest = _newest_claim(ledger, given)
        instead = f"; that was {show(newest.slot.due_at)}, run {newest.id}" if newest and newest.slot else ""
        return f"newer slots of the job had come due before anybody planned, and only the newest is run{instead}"
    if reason is SkipReason.OVERLAP:
        return _overlap_words(_open_at(ledger, given), _overlap(given.definition))
    from echopilot_jobs.planner import CATCH_UP_MOST, WAITING_MOST

    if given.definition.get("catch_up") == "all":
        return f"more slots were missed than are caught up at once ({CATCH_UP_MOST}), and this was an older one"
    return f"{WAITING_MOST} runs of the job waited already"


def _overlap(definition: Mapping[str, Any]) -> str:
    """The rule as it stands in a jobs file."""
    rule = str(definition.get("overlap", "skip"))
    return f"{rule}({definition['max_instances']})" if rule == "allow" and "max_instances" in definition else rule


def _expired(given: Given, show: Show) -> str:
    late, window = span(given.decided_at - given.due), given.definition.get("catch_up_window_s")
    if given.definition.get("catch_up") == "none":
        return f"it was missed by {late}, and missed slots of this job are not caught up"
    limit = f", later than its window of {span(window)} allows" if window else ""
    return f"it was missed, and when somebody planned again at {show(given.decided_at)} it was {late} late{limit}"


_PLAIN_WORDS: Mapping[SkipReason, str] = {
    SkipReason.PAUSED: "the job was paused",
    SkipReason.DISABLED: "the job was disabled",
    SkipReason.CLOCK_HOLD: "calendar jobs waited then, because the machine's clock had stepped and nobody trusted it yet",
    SkipReason.DST_GAP: "no such local time existed that day",
    SkipReason.SUPERSEDED: "the times of the job were changed, or it was removed, before anybody decided about it",
    SkipReason.OPERATOR: "a person said so",
}


def pause_words(pause: Pause, show: Show) -> str:
    """Who paused a job, from when to when, and the note they left."""
    until = f" to {show(pause.until)}" if pause.until else " until somebody resumes it"
    note = f", saying '{pause.note}'" if pause.note else ""
    return f"paused by {pause.actor} from {show(pause.since)}{until}{note}"


def outage_words(outage: Outage, show: Show) -> str:
    """The stretch nobody planned in, and why."""
    detail = f" ({outage.detail})" if outage.detail else ""
    return f"nobody planned from {show(outage.since)} to {show(outage.until)}: {IN_WORDS[outage.cause]}{detail}"


def unplanned_words(planned_at: datetime | None, show: Show) -> str:
    """That nobody plans, since the last pass."""
    return f"no scheduler has planned anything{f' since {show(planned_at)}' if planned_at else ''}"


def unanswered_words(hold: Hold, now: datetime) -> str:
    """What becomes of a backlog nobody speaks about."""
    when = relative(hold.expires_at, now) if hold.expires_at > now else "with the scheduler's next look"
    return f"unanswered, the newest of each job runs {when}"


def answer_words(answer: HoldAnswer, jobs: int, runs: int) -> str:
    """What an answer comes to for a backlog of so many *runs* of so many *jobs*."""
    kept = {"latest": jobs, "all": runs, "drop": 0}[answer]
    start = f"{kept:,} run{'' if kept == 1 else 's'} start{'s' if kept == 1 else ''} now" if kept else "none runs"
    pace = ", one every five seconds" if kept > 1 else ""
    if kept == runs:
        return f"{start}{pace}"
    return f"{start}{pace}; {f'{runs - kept:,} of the' if kept else 'all'} {runs:,} are cancelled"


def outage_json(outage: Outage) -> dict[str, Any]:
    """JSON types only."""
    return {
        "since": iso(outage.since),
        "until": iso(outage.until),
        "cause": outage.cause.value,
        "detail": outage.detail or None,
    }


def pause_json(pause: Pause) -> dict[str, Any]:
    """JSON types only."""
    return {
        "job": pause.job_name,
        "since": iso(pause.since),
        "until": iso(pause.until) if pause.until else None,
        "by": pause.actor,
        "note": pause.note or None,
    }


def run_words(run: Run, now: datetime, show: Show) -> str:
    """How a slot's run went, beginning with why there is one."""
    opening = {
        Origin.CATCH_UP: f"it was missed and {_caught_up(run)}",
        Origin.BACKFILL: f"it was backfilled at {show(run.claimed_at)} by {run.actor}",
        Origin.RETRY: "it was repeated by itself",
    }
    began = opening.get(run.origin, "it ran" if run.started_at else "it became a run")
    return f"{began}: run {run.id} {_state_words(run, now)}"


def _caught_up(run: Run) -> str:
    if run.started_at:
        return "caught up"
    return "is to be caught up" if run.is_open else "not caught up"


def _state_words(run: Run, now: datetime) -> str:
    started = f", started {lag_words(run) or 'by hand'}" if run.started_at else ""
    error = f": {shorten(plain(run.error), ERROR_MOST)}" if run.error else ""
    words = {
        State.QUEUED: "waits in the queue",
        State.RUNNING: f"has been running for {span(max(now - (run.started_at or now), timedelta(0)))}",
        State.RETRY_WAIT: f"{run.attempt_words} at attempt {run.attempt} and waits to try again{error}",
        State.SUCCEEDED: f"succeeded{started}",
        State.CANCELLED: f"had nothing to do{error}"
        if run.had_nothing_to_do
        else f"was cancelled{'' if run.started_at else ' before it started'}{error}",
        State.ABANDONED: f"was abandoned{started}{error}",
    }
    return words.get(run.state, f"{run.words}{started}{error}")


def lag_words(run: Run) -> str | None:
    """How long after its slot's moment a run began, and how much of that is jitter; None where that is no question."""
    late = run.lateness
    if late is None:
        return None
    jitter = f", {span(run.spread)} of it by its job's jitter" if run.spread else ""
    is_late = run.is_late and late - run.spread > LATE_AFTER  # what was asked for is not late
    return f"{span(late)} after its moment{jitter}{', which is late' if is_late else ''}"


def _newest_claim(ledger: Ledger, given: Given) -> Run | None:
    """The run of the newest slot that was due when *given* was decided about."""
    rows = ledger.dispositions(given.job_name, given.due, given.decided_at + timedelta(seconds=1)).runs
    return ledger.run(rows[-1][2]) if rows else None


@record(frozen=True)
class _Open:
    """The runs that stood in a slot's way, oldest first: those at work, and those that waited to start."""

    running: tuple[Run, ...]
    waiting: tuple[Run, ...]


def _overlap_words(found: _Open, rule: str) -> str:
    """What stood in the way, as the ledger has it of that moment, and the rule it did so by."""
    if rule == "queue_one" and found.waiting:
        return f"{_called(found.waiting)} waited in the queue already, and its overlap rule '{rule}' lets only one wait"
    many = len(found.running) > 1
    running = f"{_called(found.running)} {'were' if many else 'was'} running" if found.running else ""
    of_job = "" if running else " of the job"
    waiting = f"{_called(found.waiting, of_job)} waited to start" if found.waiting else ""
    open_then = " and ".join(filter(None, (running, waiting))) or "another run of the job was open"
    return f"{open_then}, and its overlap rule '{rule}' allows no more"


def _called(runs: Sequence[Run], of_job: str = " of the job") -> str:
    """`run 4 of the job`, `runs 4, 5, 6 and 2 more of the job`."""
    named = [str(run.id) for run in runs[:NAMED_MOST]]
    rest = len(runs) - len(named)
    last = f"{rest:,} more" if rest else named.pop() if len(runs) > 1 else ""
    numbers = ", ".join(named) + (f" and {last}" if last else "")
    return f"run{'s' if len(runs) > 1 else ''} {numbers}{of_job}"


def _open_at(ledger: Ledger, given: Given) -> _Open:
    """The runs that were in the way when *given* was decided about, whoever asked for those at work.

    As the planner counts: of those in the queue only live slots. One that waited for another attempt hinders nobody.
    """
    later = ledger.dispositions(given.job_name, given.due, given.due + LOOK_BACK).runs
    before = min((row[2] for row in later), default=None)
    runs = ledger.runs(job_name=given.job_name, before_id=before, limit=LOOKED_AT_MOST)
    then = given.decided_at
    was_open = [run for run in runs if run.claimed_at <= then and (run.finished_at is None or run.finished_at >= then)]
    stood = [(run, _state_at(ledger, run, then)) for run in reversed(was_open)]
    queued = (run for run, state in stood if state is State.QUEUED)
    return _Open(
        tuple(run for run, state in stood if state is State.RUNNING),
        tuple(run for run in queued if run.slot and run.origin not in (Origin.CATCH_UP, Origin.BACKFILL)),
    )


def _state_at(ledger: Ledger, run: Run, moment: datetime) -> State | None:
    states = [event.state for event in ledger.events(run.id) if event.at <= moment]
    return states[-1] if states else None
