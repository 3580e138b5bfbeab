"""What the dashboard shows, gathered and judged: the verdict first, then the facts behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from echopilot_jobs.accounting.cutoff import cut_off
from echopilot_jobs.accounting.darkness import darkness
from echopilot_jobs.accounting.dying import dying
from echopilot_jobs.accounting.lives import Strip, newest_outage, strip
from echopilot_jobs.accounting.waiting import full
from echopilot_jobs.builtin import BRIEF, REPORT
from echopilot_jobs.holds import Pause
from echopilot_jobs.jobs import Inline, Job, Registry, next_slot
from echopilot_jobs.jobsfile import Problem as Mistake
from echopilot_jobs.ledger import Ledger
from echopilot_jobs.outages import Outage
from echopilot_jobs.plain import sentence
from echopilot_jobs.records import record
from echopilot_jobs.runs import Progress, Run, State, bad_row
from echopilot_jobs.spans import relative, until_words
from echopilot_jobs.supervision import Program
from echopilot_jobs.triggers import OnRequest, without_schedule
from echopilot_jobs.web.backlog import Waiting, waiting_backlog
from echopilot_jobs.web.health import SCHEDULER, Check, Health
from echopilot_jobs.web.history import Missed, missed
from echopilot_jobs.web.services import Services
from echopilot_jobs.web.words import clock_text, counted, excerpt

DAY = timedelta(days=1)
RECENT_RUNS = 12
MISSED_MOST = 8
MARKS = 30
INSTANT = timedelta(microseconds=1)
RESUMES_MOST = 6

Tone = Literal["good", "warn", "bad"]


@record(frozen=True)
class Problem:
    """One thing that is not as it should be: what, since when, what to do, and the run or the mistakes that show it."""

    tone: Tone
    what: str
    since: datetime | None = None
    do: str = ""
    run_id: int | None = None
    job_name: str = ""
    may_retry: bool = False
    paused: tuple[str, ...] = ()  # jobs that somebody may let go on
    mistakes: tuple[Mistake, ...] = ()
    backlog: Waiting | None = None  # what somebody may answer


@record(frozen=True)
class Verdict:
    """The one line for somebody who has thirty seconds, and the reasons for it, worst first."""

    tone: Tone
    headline: str
    problems: tuple[Problem, ...] = ()

    @property
    def says_it_all(self) -> bool:
        """Whether the headline is the first problem itself, which then need not be said twice."""
        return bool(self.problems) and self.headline == sentence(self.problems[0].what)


@record(frozen=True)
class JobLine:
    """One job: its next moment, its newest run and the ends of its last ones (oldest first)."""

    job: Job
    next_at: datetime | None
    last: Run | None
    marks: tuple[Run, ...]
    pause: Pause | None = None
    progress: Progress | None = None

    @property
    def can_be_asked_for(self) -> bool:
        """Whether running it by hand makes sense: not what the scheduler does for itself, nor what is disabled."""
        return self.job.enabled and not self.is_own_duty

    @property
    def must_be_told(self) -> bool:
        """Whether it can be run by hand only with values that somebody gives."""
        needed = any(param.required and param.default is None for param in self.job.params.values())
        return self.can_be_asked_for and needed

    @property
    def is_by_hand(self) -> bool:
        """Whether it has no schedule at all."""
        return isinstance(self.job.trigger, OnRequest)

    @property
    def without_schedule(self) -> str:
        """When one without a schedule runs: what the command line says too."""
        return without_schedule(on_startup=self.job.on_startup)

    @property
    def is_own_duty(self) -> bool:
        """Whether the scheduler does it itself, as it does the heartbeat."""
        return isinstance(self.job.action, Inline)


@record(frozen=True)
class RunLine:
    """One line of a table of runs: a run, or *count* successes in a row of a job that runs every minute."""

    run: Run
    count: int = 1
    first: Run | None = None
    lateness: timedelta | None = None
    took: timedelta | None = None


@record(frozen=True)
class Dashboard:
    """Everything on the page, of one moment. Without a ledger only the verdict and the processes are known."""

    now: datetime
    verdict: Verdict
    health: Health
    programs: tuple[Program, ...]
    supervisor: Check
    jobs: tuple[JobLine, ...] = ()
    runs: tuple[RunLine, ...] = ()
    missed: tuple[Missed, ...] = ()
    hidden_missed: int = 0  # slots on lines that are not listed
    day: Strip | None = None
    papers: tuple[tuple[str, Run | None], ...] = ()

    @property
    def none_missed(self) -> str:
        """What it means that no slot without a run is listed."""
        if self.day is None or not self.runs:
            return "None: nothing has come due yet."
        if self.day.darks and self.day.darks[-1].end == self.day.end:
            since = clock_text(self.day.darks[-1].start, self.now)
            return f"None that anybody has decided about: no scheduler has led since {since}."
        known_from = self.day.known_from
        span_of_it = f"since {clock_text(known_from, self.now)}" if known_from else "of the last 24 hours"
        return f"None: every slot {span_of_it} has its run."


def gather(services: Services, health: Health, now: datetime) -> Dashboard:
    """The dashboard of this moment. Raises `LedgerUnavailable`."""
    ledger = services.ledger
    paused = {pause.job_name: pause for pause in ledger.pauses(now) if pause.covers(now)}
    far = ledger.progresses()
    jobs = tuple(job_line(ledger, job, now, paused.get(job.name), far) for job in services.registry.values())
    day = strip(ledger, now - DAY, now)
    lost = missed(ledger, now - DAY, now)
    waits = [*dead_lately(ledger, services.settings.logs_dir, now), *waiting(ledger, list(paused.values()), now)]
    waits += [*crowded(ledger, services.registry, now), *never_done(ledger, services.registry.values())]
    past = dark_hours(day, lost, newest_outage(ledger, day), now)
    return Dashboard(
        now=now,
        verdict=verdict(health, jobs, waits, past),
        health=health,
        programs=health.programs,
        supervisor=_supervisor(health),
        jobs=jobs,
        runs=tuple(recent(jobs)[:RECENT_RUNS]),
        missed=tuple(lost[:MISSED_MOST]),
        hidden_missed=sum(item.count for item in lost[MISSED_MOST:]),
        day=day,
        papers=tuple((line.job.name, newest_paper(ledger, line)) for line in jobs if line.job.name in (BRIEF, REPORT)),
    )


def without_ledger(health: Health, now: datetime) -> Dashboard:
    """What can still be said and done while the ledger is away."""
    return Dashboard(now, verdict(health, ()), health, health.programs, _supervisor(health))


def _supervisor(health: Health) -> Check:
    return next(check for check in health.checks if check.name == "supervisor")


def recent(jobs: Sequence[JobLine]) -> list[RunLine]:
    """The newest runs of all jobs, newest first; the scheduler's own successes in a row share a line."""
    lines = [line for job in jobs for line in (_folded(job) if job.is_own_duty else map(_single, job.marks))]
    return sorted(lines, key=lambda line: line.run.id, reverse=True)


def _folded(job: JobLine) -> list[RunLine]:
    folded: list[RunLine] = []
    for _, group in groupby(job.marks, key=lambda run: run.id if run.state is not State.SUCCEEDED else 0):
        runs = list(group)
        folded.append(_single(runs[0]) if len(runs) == 1 else _stretch(runs))
    return folded


def _single(run: Run) -> RunLine:
    return RunLine(run, lateness=run.lateness, took=run.took)


def _stretch(runs: Sequence[Run]) -> RunLine:
    late = max((run.lateness for run in runs if run.lateness is not None), default=None)
    took = max((run.took for run in runs if run.took is not None), default=None)
    return RunLine(runs[-1], len(runs), runs[0], late, took)


def plain_lines(runs: Iterable[Run]) -> list[RunLine]:
    """Each run on a line of its own."""
    return [_single(run) for run in runs]


def job_line(
    ledger: Ledger,
    job: Job,
    now: datetime,
    pause: Pause | None = None,
    far: Mapping[int, Progress] = MappingProxyType({}),
) -> JobLine:
    """One job's line; *pause* is the one that holds now, *far* how far each running run is."""
    newest = ledger.runs(job_name=job.name, limit=MARKS)
    last = newest[0] if newest else None
    progress = far.get(last.id) if last else None
    return JobLine(job, _next_at(job, now, pause), last, tuple(reversed(newest)), pause, progress)


def _next_at(job: Job, now: datetime, pause: Pause | None) -> datetime | None:
    """The next slot that will run as things stand: none of a disabled job, nor any that *pause* covers."""
    if not job.enabled or (pause and pause.until is None):
        return None
    slot = next_slot(job, pause.until - INSTANT if pause and pause.until else now)
    return slot.due_at if slot else None


def newest_paper(ledger: Ledger, line: JobLine) -> Run | None:
    """The newest run of a job that succeeded and so has left a page to read."""
    done = [run for run in line.marks if run.state is State.SUCCEEDED]
    if done or len(line.marks) < MARKS:
        return done[-1] if done else None
    older = ledger.runs(job_name=line.job.name, states=frozenset({State.SUCCEEDED}), limit=1)
    return older[0] if older else None


def verdict(
    health: Health,
    jobs: Sequence[JobLine],
    waits: Sequence[Problem] = (),
    past: Sequence[Problem] = (),
) -> Verdict:
    """One sentence on everything: what is broken, what to keep an eye on, or that all is well.

    *waits* is what goes on or stands still until a person does something; *past* is what happened to the scheduler lately.
    """
    checks = list(map(of_check, _causes_first(health)))
    broken = [problem for problem in checks if problem.tone == "bad"]
    broken += [problem for line in jobs if (problem := failing(line, health.at))]
    broken += [problem for problem in waits if problem.tone == "bad"]
    watch = [problem for problem in waits if problem.tone == "warn"]
    watch += [problem for problem in checks if problem.tone == "warn"]
    watch += past
    if broken:
        return Verdict("bad", _headline(broken), tuple(broken + watch))
    if watch:
        return Verdict("warn", "All jobs are well; " + counted(len(watch), "thing") + " to know", tuple(watch))
    return Verdict("good", _all_well(jobs, health))


def of_check(check: Check) -> Problem:
    """What a check found that did not go well, as it is told to a person."""
    return Problem(
        "bad" if check.level == "fail" else "warn", check.what, check.since, check.do, mistakes=check.mistakes
    )


def _causes_first(health: Health) -> list[Check]:
    """Whether anybody leads, then processes, then what follows; what cannot be known is no finding of its own."""
    leading = health.leading
    told = (SCHEDULER, f"program {SCHEDULER}", leading.name) if leading else ()
    others = [each for each in health.checks if each.level != "ok" and each.word != "unknown" and each.name not in told]
    return [*([leading] if leading else []), *sorted(others, key=lambda check: not check.name.startswith("program "))]


def failing(line: JobLine, now: datetime) -> Problem | None:
    """The problem of a job whose newest ended run ended badly: how often in a row, since when, and with what."""
    ended = [run for run in reversed(line.marks) if not run.is_open]
    row = list(bad_row(ended))
    if not row:
        return None
    newest, oldest = row[0], row[-1]
    ended_how = "was abandoned" if newest.state is State.ABANDONED else newest.words
    times = ended_how if len(row) == 1 else f"ended badly {len(row)}{'+' if len(row) == MARKS else ''} times in a row"
    words = f": {excerpt(newest.error)}" if newest.error else ""
    coming = _next_try(line, now)
    do = f"{f'{coming}; ' if coming else ''}read the run, mend the cause, run it again"
    what, may_retry = f"'{line.job.name}' {times}{words}", line.can_be_asked_for
    return Problem("bad", what, oldest.finished_at, do, newest.id, line.job.name, may_retry)


def _next_try(line: JobLine, now: datetime) -> str | None:
    """When it is tried again: by the run that is open already, or at its next slot."""
    if unended := next((run for run in line.marks if run.is_open), None):
        return f"run {unended.id} {'tries it now' if unended.state is State.RUNNING else 'waits to try it again'}"
    if line.next_at:
        return f"next try at {clock_text(line.next_at, now)} UTC"
    return "no more tries until somebody resumes it" if line.pause and not line.pause.until else None


def dead_lately(ledger: Ledger, logs_dir: Path, now: datetime) -> list[Problem]:
    """That a scheduler lost its ledger, and that schedulers die one after the other, although each time a new one leads."""
    found, lost = dying(ledger, logs_dir, now)
    told = [Problem("warn", f"the scheduler lost its ledger: {loss.what}", loss.at, loss.remedy) for loss in lost]
    if found is not None:
        told.append(Problem("warn", found.words(lambda moment: clock_text(moment, now)), None, found.remedy))
    return told


def crowded(ledger: Ledger, registry: Registry, now: datetime, job_name: str | None = None) -> list[Problem]:
    """That runs, or runs of that job, wait because others hold every place there is."""
    found = full(ledger, registry, now)
    if found is None or (job_name and job_name not in {run.job_name for run in found.waiting}):
        return []
    first, words = found.holders[0], found.words(lambda moment: clock_text(moment, now))
    return [Problem("warn", words, found.since, found.remedy, first.id, first.job_name)]


def never_done(ledger: Ledger, jobs: Iterable[Job]) -> list[Problem]:
    """The jobs whose runs are ended by their own next slot again and again."""
    return [
        Problem("warn", each.words, each.since, each.remedy, job_name=each.job_name) for each in cut_off(ledger, jobs)
    ]


def dark_hours(day: Strip, lost: Sequence[Missed], newest: Outage | None, now: datetime) -> list[Problem]:
    """What the last day without a scheduler cost, if there was such a time; of several the *newest* has its cause told."""
    found = darkness(day, [(item.outage, item.first, item.count) for item in lost], newest)
    if found is None:
        return []
    do = ["why may be in `logs/supervisord.log`"] if found.log_may_tell else []
    do += ["the list below says what it cost"] if found.slots else []
    return [Problem("warn", found.words(lambda moment: clock_text(moment, now)), None, "; ".join(do))]


def waiting(ledger: Ledger, paused: Sequence[Pause], now: datetime) -> list[Problem]:
    """What stands still until a person says a word: calendar jobs after the clock was set, a backlog, paused jobs."""
    found = []
    clock, backlog = ledger.generation(), waiting_backlog(ledger, now)
    if clock.held:
        what = "calendar jobs wait: the machine's clock was set, and nobody has said that it is right"
        found.append(Problem("bad", what, clock.began_at, "look at the clock, then `echopilot clock trust`"))
    if backlog:
        what = f"{counted(backlog.hold.count, 'missed slot')} wait for your word"
        do = f"answer here or with `echopilot backlog latest`, `all` or `drop`; {backlog.unanswered}"
        found.append(Problem("warn", what, backlog.hold.decided_at, do, backlog=backlog))
    return [*found, _paused(paused, now)] if paused else found


def _paused(paused: Sequence[Pause], now: datetime) -> Problem:
    names = ", ".join(pause.job_name for pause in paused)
    ends = {pause.job_name: until_words(pause.until, lambda moment: clock_text(moment, now)) for pause in paused}
    same = len(set(ends.values())) == 1
    until = next(iter(ends.values())) if same else ", ".join(f"{name} {end}" for name, end in ends.items())
    first = min(paused, key=lambda pause: pause.since)
    note = f" ({excerpt(first.note)})" if first.note else ""
    others = " and others" if len({pause.actor for pause in paused}) > 1 else ""
    what = f"{names} {'is' if len(paused) == 1 else 'are'} paused by {excerpt(first.actor)}{others}{note}, {until}"
    do = f"`echopilot resume {names if len(paused) == 1 else '--all'}` when it is time"
    return Problem("warn", what, first.since, do, paused=tuple(pause.job_name for pause in paused)[:RESUMES_MOST])


def _headline(broken: Sequence[Problem]) -> str:
    return sentence(broken[0].what) if len(broken) == 1 else f"{len(broken)} things are broken"


def _all_well(jobs: Sequence[JobLine], health: Health) -> str:
    if not any(line.last for line in jobs):
        return "All well; nothing has run yet"
    beat = health.stint.beat_at if health.stint else health.at
    coming = sum(line.next_at is not None for line in jobs)
    return f"All well: {counted(coming, 'job')} on schedule, last beat {relative(min(beat, health.at), health.at)}"
