"""Honest health: every check with its result, its reason and since when it stands so (I26)."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from flask import current_app

from echopilot_jobs.definitions import InForce
from echopilot_jobs.disk import amount, shortage
from echopilot_jobs.errors import EchoPilotError, LedgerUnavailable, SupervisorLost, SupervisorUnreachable
from echopilot_jobs.jobsfile import Problem
from echopilot_jobs.ledger import Beat, Ledger, beat_of
from echopilot_jobs.ledger.missing import restoring
from echopilot_jobs.ledger.refusing import refusal
from echopilot_jobs.outages import IN_WORDS, Cause, end_words
from echopilot_jobs.plain import remedy_apart
from echopilot_jobs.records import record
from echopilot_jobs.runs import Stint
from echopilot_jobs.spans import span, stamp
from echopilot_jobs.supervision import Program
from echopilot_jobs.web.services import Services

REFUSED = "refused"  # of the ledger, and so of the scheduler: one finding
SCHEDULER = "scheduler"
STARTING_FOR_LONG = timedelta(seconds=60)
FRESH_FOR_SECONDS = 1.0

DESK = "echopilot.health"

Level = Literal["ok", "warn", "fail"]


@record(frozen=True)
class Check:
    """One question and its answer. *word* may be shown to anybody, the rest only to those who signed in."""

    name: str
    level: Level
    word: str
    what: str
    since: datetime | None = None
    do: str = ""
    mistakes: tuple[Problem, ...] = ()  # of the jobs file, each for a line of its own


@record(frozen=True)
class Health:
    """All checks of one moment, and what they were made from."""

    at: datetime
    checks: tuple[Check, ...]
    programs: tuple[Program, ...] = ()
    stint: Stint | None = None

    @property
    def is_green(self) -> bool:
        """Whether nothing failed. Warnings leave it green."""
        return not self.failing

    @property
    def failing(self) -> list[Check]:
        """The failed checks."""
        return [check for check in self.checks if check.level == "fail"]

    @property
    def leading(self) -> Check | None:
        """That no scheduler leads, or that one comes up: once, by its program where that is down. None while one leads."""
        beat = self.named(SCHEDULER)
        if beat is None or beat.level == "ok" or beat.word == "unknown":
            return None
        program = self.named(f"program {SCHEDULER}")
        if beat.word == REFUSED:
            return self.named("ledger")
        if program is None or program.level != "fail":
            return beat
        return replace(beat, what=f"{program.what}; no scheduler leads, so nothing starts", do=program.do)

    def named(self, name: str) -> Check | None:
        """The check of that name, if it was made."""
        return next((check for check in self.checks if check.name == name), None)


class HealthDesk:
    """Answers at most once a second with fresh checks, so that probes cannot wear the ledger out."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._guard = threading.Lock()
        self._known: tuple[float, Health] | None = None

    def now(self) -> Health:
        """The health of this moment, at most a second old."""
        clock = self._services.clock
        with self._guard:
            if self._known is None or clock.monotonic() - self._known[0] >= FRESH_FOR_SECONDS:
                self._known = clock.monotonic(), examine(self._services, clock.now())
            return self._known[1]

    def forget(self) -> None:
        """Look anew the next time: somebody has just changed something."""
        with self._guard:
            self._known = None


def desk() -> HealthDesk:
    """The desk of the application that answers this request."""
    found: HealthDesk = current_app.extensions[DESK]
    return found


def examine(services: Services, now: datetime) -> Health:
    """Every check, made now."""
    programs, program_checks = _programs(services, now)
    coming_up = next((each for each in programs if each.name == SCHEDULER and _comes_up(each, now)), None)
    stint, ledger_checks = _ledger(services, now, coming_up)
    checks = (*ledger_checks, *program_checks, disk(services.free_bytes()), jobs_file(services.jobs.now()))
    return Health(now, checks, tuple(programs), stint)


def _ledger(services: Services, now: datetime, coming_up: Program | None) -> tuple[Stint | None, list[Check]]:
    try:
        ledger = services.ledger
        stint = ledger.stint()
        if refused := refusal(services.settings.ledger_path):
            return stint, _refused(refused, stint)
        return stint, [_condition(services.settings.ledger_path, ledger, now), beat(stint, now, coming_up)]
    except EchoPilotError as error:  # unavailable, or newer than this release
        do = "see `echopilot doctor`; `supervisorctl tail scheduler` says what the scheduler thinks of it"
        unknown = Check("scheduler", "fail", "unknown", "whether the scheduler beats is written in the ledger")
        return None, [Check("ledger", "fail", "unavailable", str(error), do=do), unknown]


def _refused(said: str, stint: Stint | None) -> list[Check]:
    """A ledger that no scheduler will lead before a person has said a word, and so no scheduler that leads."""
    what, do = remedy_apart(said)
    since = (stint.ended_at or stint.beat_at) if stint else None
    waits = Check("scheduler", "fail", REFUSED, "no scheduler leads: it waits for a word about the ledger", since, do)
    what = f"{what}; nothing is planned or started before somebody decides"
    return [Check("ledger", "fail", REFUSED, what, since, do), waits]


def _condition(path: Path, ledger: Ledger, now: datetime) -> Check:
    """Whether it can be written; then, whether it began empty lately where another one was."""
    found, lost = _writable(ledger), ledger.rebirth()
    if found.level != "ok" or lost is None or not lost.is_news(now):
        return found
    do = f"with the stack stopped, {restoring(path)}: what was recorded since is set aside then"
    return Check("ledger", "warn", "new", lost.words(stamp), do=do)


def _writable(ledger: Ledger) -> Check:
    try:
        ledger.ping()
    except LedgerUnavailable as error:
        return Check("ledger", "fail", "not writable", str(error), do="look at the free disk and at who holds the file")
    return Check("ledger", "ok", "ok", "the ledger can be read and written")


def beat(stint: Stint | None, now: datetime, coming_up: Program | None = None) -> Check:
    """Whether the newest scheduler is alive, by its own hand: the beat it writes every five seconds.

    *coming_up*: its program when that was started within the last minute. One that has to lead first is no alarm.
    """
    if coming_up and coming_up.started_at and (stint is None or _ended_before(stint, coming_up.started_at)):
        before = f"; before that, {_why_ended(stint)}" if stint else " for the first time here"
        what, do = (
            f"the scheduler is starting{before}",
            "nothing: it leads within seconds, and this goes away by itself",
        )
        return Check("scheduler", "warn", "starting", what, do=do)
    restart = "`supervisorctl restart scheduler`; why it stopped is in `supervisorctl tail scheduler`"
    if stint is None:
        return Check("scheduler", "fail", "never started", "no scheduler has ever led here", do=restart)
    if stint.ended_at is not None:
        what = f"the scheduler has ended and no other one leads: {_why_ended(stint)}"
        return Check("scheduler", "fail", "ended", what, stint.ended_at, restart)
    age, judged = now - stint.beat_at, beat_of(stint, now)
    if judged is Beat.SILENT:
        silent = "the scheduler is silent: no beat of it, so nothing is planned or started"
        return Check("scheduler", "fail", "stale", silent, stint.beat_at, restart)
    if judged is Beat.AHEAD:
        what = f"the scheduler's last beat lies {span(-age)} in the future: the clock was set back"
        return Check("scheduler", "fail", "clock", what, do="wait for the next beat, and look at the machine's clock")
    return Check("scheduler", "ok", "ok", f"beat {span(age)} ago, term {stint.term}", stint.started_at)


def _ended_before(stint: Stint, started_at: datetime) -> bool:
    """Whether *stint* was over when a program started; supervisord tells that moment in whole seconds."""
    return stint.ended_at is not None and stint.ended_at.replace(microsecond=0) <= started_at


def _why_ended(stint: Stint) -> str:
    return end_words(stint.ended_how) or IN_WORDS[Cause.STOPPED]


def _comes_up(program: Program, now: datetime) -> bool:
    """Whether it was started a short while ago, and has not failed since."""
    started_at = program.started_at
    return not program.trouble and started_at is not None and now - started_at <= STARTING_FOR_LONG


def _programs(services: Services, now: datetime) -> tuple[list[Program], list[Check]]:
    try:
        programs = services.supervisor.programs()
    except SupervisorUnreachable as error:
        what, do = remedy_apart(str(error))
        # The application may be served without supervisord, so that there is none is no failure. One that lives and can be
        # neither asked nor steered is: whether its programs are well nobody knows, and only a person ends that.
        level: Level = "fail" if isinstance(error, SupervisorLost) else "warn"
        return [], [Check("supervisor", level, "unreachable", what, do=do or "see `echopilot doctor`")]
    judged = [_program(program, now) for program in programs]
    return programs, [Check("supervisor", "ok", "ok", f"{len(programs)} programs"), *judged]


def _program(program: Program, now: datetime) -> Check:
    name, state = f"program {program.name}", program.state
    age = now - program.started_at if program.started_at else timedelta(0)
    match state:
        case "RUNNING":
            return Check(name, "ok", "running", program.description, program.started_at)
        case "STARTING" if age <= STARTING_FOR_LONG:
            return Check(name, "ok", "starting", f"starting for {span(age)}", program.started_at)
    what = program.trouble or f"'{program.name}' has been starting for {span(age)}"
    return Check(name, "fail", state.lower(), what, do=program.remedy)


def disk(free: int | None) -> Check:
    """Whether there is room to write what must be written."""
    if free is None:
        what = "neither `var/` nor `logs/` is a folder that can be entered"
        return Check("disk", "fail", "missing", what, do="see `echopilot doctor`")
    if short := shortage(free):
        return Check("disk", "fail", short.word, short.what, do=short.do)
    return Check("disk", "ok", "ok", f"{amount(free)} free")


def jobs_file(found: InForce) -> Check:
    """Whether the jobs that run are those the jobs file defines now."""
    if not found.problems:
        return Check("jobs_file", "ok", "ok", f"{len(found.registry)} jobs", found.accepted_at)
    return Check("jobs_file", "fail", "refused", found.refusal, found.refused_at, found.remedy, found.problems)


def public(checks: Iterable[Check]) -> dict[str, str]:
    """What anybody may know: one word a check."""
    return {check.name: check.word for check in checks}
