"""What the page of one job shows: its definition in words, what comes, what became of the last slots, what can be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from echopilot_jobs.accounting.preview import Coming, coming
from echopilot_jobs.accounting.reasons import pause_words
from echopilot_jobs.accounting.waiting import waiting_words
from echopilot_jobs.jobs import Job
from echopilot_jobs.plain import sentence
from echopilot_jobs.records import record
from echopilot_jobs.runs import OPEN_STATES, Progress, Run, State
from echopilot_jobs.spans import day_clock, relative
from echopilot_jobs.web.backlog import Waiting, waiting_backlog
from echopilot_jobs.web.dashboard import (
    JobLine,
    Problem,
    RunLine,
    Tone,
    crowded,
    failing,
    job_line,
    never_done,
    of_check,
    plain_lines,
)
from echopilot_jobs.web.defined import definition_words
from echopilot_jobs.web.health import Health
from echopilot_jobs.web.history import Missed, missed
from echopilot_jobs.web.services import Services
from echopilot_jobs.web.words import clock_text

NEXT = 5
LAST = 15
OPEN_MOST = 20
MISSED_MOST = 30
LOOK_BACK = timedelta(days=7)


@record(frozen=True)
class Going:
    """A run that has not ended: how far it is, and what it waits for where that is not said of all of them."""

    run: Run
    progress: Progress | None
    waits: tuple[str, ...]


@record(frozen=True)
class JobSheet:
    """Everything on the page, of one moment. Of a job that is no longer defined only its past is known: *line* is None."""

    name: str
    tone: Tone | None
    sentence: str
    line: JobLine | None
    problem: Problem | None
    leaderless: Problem | None  # why nothing of what is to come starts, whatever the job
    definition: tuple[tuple[str, str], ...]
    next: tuple[Coming, ...]
    going: tuple[Going, ...]
    queued: int
    runs: tuple[RunLine, ...]
    missed: tuple[Missed, ...]
    hidden_missed: int  # slots on lines that are not listed
    backlog: Waiting | None  # the one that runs of it wait in

    @property
    def hides_queued(self) -> bool:
        """Whether more runs are queued than are listed."""
        return self.queued > sum(each.run.state is State.QUEUED for each in self.going)


def job_sheet(services: Services, name: str, health: Health, now: datetime) -> JobSheet:
    """The page of the job *name*. Raises `UnknownName` for one that was never there, and `LedgerUnavailable`."""
    ledger = services.ledger
    job, far = services.registry.get(name), ledger.progresses()
    if job is None and name not in ledger.first_seen():
        _ = services.registry[name]  # raises with the nearest name
    line = _line(services, job, now, far) if job else None
    problem = _problem(services, line, now) if line else None
    backlog = _backlog_of(services, name, now)
    held = backlog.counts[name] if backlog else 0
    leaderless = of_check(health.leading) if line and health.leading else None
    tone, words = _standing(line, problem, now, held, leads=leaderless is None)
    open_runs = ledger.runs(job_name=name, states=OPEN_STATES, limit=OPEN_MOST + held)
    going = [run for run in open_runs if not _waits_in(backlog, run)][:OPEN_MOST]
    gone = [each for each in missed(ledger, now - LOOK_BACK, now) if each.job_name == name]
    return JobSheet(
        name=name,
        tone=_worse(tone, leaderless),
        sentence=sentence(words),
        line=line,
        problem=problem,
        leaderless=leaderless,
        definition=tuple(_definition(services, job)) if job else (),
        next=tuple(coming(job, now, NEXT, pauses=ledger.pauses(now, name))) if job else (),
        going=tuple(Going(run, far.get(run.id), _waits(services, run, leaderless, now)) for run in going),
        queued=ledger.count_queued(name) - held,
        runs=tuple(plain_lines(ledger.runs(job_name=name, limit=LAST))),
        missed=tuple(gone[:MISSED_MOST]),
        hidden_missed=sum(each.count for each in gone[MISSED_MOST:]),
        backlog=backlog,
    )


def _backlog_of(services: Services, name: str, now: datetime) -> Waiting | None:
    backlog = waiting_backlog(services.ledger, now)
    return backlog if backlog and name in backlog.counts else None


def _waits_in(backlog: Waiting | None, run: Run) -> bool:
    return backlog is not None and run.state is State.QUEUED and run.hold_id == backlog.hold.id


def _waits(services: Services, run: Run, leaderless: Problem | None, now: datetime) -> tuple[str, ...]:
    """What *run* waits for; that none leads is said for all of them."""
    if leaderless:
        return ()
    return tuple(waiting_words(services.ledger, services.registry, run, now, lambda moment: clock_text(moment, now)))


def _worse(tone: Tone | None, leaderless: Problem | None) -> Tone | None:
    return leaderless.tone if leaderless and tone != "bad" else tone


def _line(services: Services, job: Job, now: datetime, far: Mapping[int, Progress]) -> JobLine:
    paused = next((pause for pause in services.ledger.pauses(now, job.name) if pause.covers(now)), None)
    return job_line(services.ledger, job, now, paused, far)


def _definition(services: Services, job: Job) -> Iterator[tuple[str, str]]:
    yield from definition_words(job, services.registry.group_limits)
    versions = services.ledger.definitions(job.name)
    if versions:
        yield "Version", f"{len(versions)}, in force since {day_clock(versions[-1][0])}"


def _problem(services: Services, line: JobLine, now: datetime) -> Problem | None:
    """The worst there is to say of it: it fails, it never gets done, or it waits for a place."""
    if found := failing(line, now):
        return found
    ledger, name = services.ledger, line.job.name
    return next(iter([*never_done(ledger, [line.job]), *crowded(ledger, services.registry, now, name)]), None)


def _standing(
    line: JobLine | None, problem: Problem | None, now: datetime, in_backlog: int, *, leads: bool
) -> tuple[Tone | None, str]:
    """How the job stands, in one sentence: its trouble first, then what holds it, then what comes."""
    if line is None:
        return None, "no longer defined; what it did stays here until retention removes it"
    held = "; ".join(filter(None, (_backlog_words(in_backlog), _held(line, now))))
    if problem:
        return problem.tone, f"{problem.what}{f'; {held}' if held else ''}"
    if held:
        return "warn", held
    tone: Tone | None = "good" if line.last else None  # of one that never ran nobody knows whether it would go well
    if line.next_at:
        coming = "next run at" if leads else "its next slot comes due at"
        return tone, f"{coming} {clock_text(line.next_at, now)}, {relative(line.next_at, now)}"
    return tone, f"runs {line.without_schedule}" if line.is_by_hand else "no more runs are to come"


def _backlog_words(count: int) -> str:
    return f"{count:,} of its missed slots wait{'s' if count == 1 else ''} for your word" if count else ""


def _held(line: JobLine, now: datetime) -> str:
    """What keeps the job from running; empty when nothing does."""
    if not line.job.enabled:
        return "disabled by its definition: `enabled = false`"
    return pause_words(line.pause, lambda moment: clock_text(moment, now)) if line.pause else ""
