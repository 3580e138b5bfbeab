"""All that `echopilot status` tells of, gathered at one moment, and the same as JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from echopilot_jobs.cli import rows, sight
from echopilot_jobs.cli import trouble as troubles
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import LedgerUnavailable, SupervisorUnreachable
from echopilot_jobs.records import record
from echopilot_jobs.runs import BAD_ENDS, State

if TYPE_CHECKING:
    from echopilot_jobs.accounting.cutoff import CutOff
    from echopilot_jobs.accounting.outsider import Outsider
    from echopilot_jobs.accounting.waiting import Full
    from echopilot_jobs.cli.trouble import Failing, Trouble
    from echopilot_jobs.definitions import InForce
    from echopilot_jobs.holds import Hold, Pause
    from echopilot_jobs.jobs import Job, Registry
    from echopilot_jobs.ledger import SqliteReading
    from echopilot_jobs.runs import Generation, Progress, Run, Stint
    from echopilot_jobs.settings import Settings
    from echopilot_jobs.supervision import Program

TROUBLE_MOST = 10
TROUBLE_WITHIN = timedelta(hours=24)


@record(frozen=True)
class Overview:
    """Everything `status` tells, gathered at one moment. *absent* says why there is no ledger, *away* why no supervisord."""

    now: datetime
    standing: sight.Standing
    jobs: list[tuple[Job, datetime | None, Run | None]]
    jobs_file: InForce
    stint: Stint | None = None
    programs: list[Program] = field(default_factory=list)
    outsider: Outsider | None = None
    open_runs: list[Run] = field(default_factory=list)
    open_counts: dict[str, int] = field(default_factory=dict)
    progresses: dict[int, Progress] = field(default_factory=dict)
    broken: list[Trouble] = field(default_factory=list)
    failing: list[Failing] = field(default_factory=list)
    lately: list[Trouble] = field(default_factory=list)
    full: Full | None = None
    cut_off: list[CutOff] = field(default_factory=list)
    trouble: list[Run] = field(default_factory=list)
    paused: dict[str, Pause] = field(default_factory=dict)
    hold: Hold | None = None
    clock: Generation | None = None
    away: str | None = None
    absent: str | None = None
    is_unreadable: bool = False  # there is a ledger, or was one, and that is all one can say of it


def look(settings: Settings, now: datetime) -> Overview:
    """The state of things at *now*; a stack that is down or was never started is an answer, not an error."""
    programs, away = _programs(settings)
    jobs_file = _in_force(settings)  # that it is refused is told among what is broken
    try:
        ledger = sight.reading(settings)
    except LedgerUnavailable as error:
        from echopilot_jobs.ledger.identity import mark_path

        dues = _dues(jobs_file.registry, {}, now)
        standing = sight.standing(None, now)
        if not settings.home.is_dir():  # no start would help
            standing = sight.Standing(standing.state, "never started here")
        bare = Overview(now, standing, dues, jobs_file, programs=programs, away=away, absent=str(error))
        bare = replace(bare, is_unreadable=settings.ledger_path.exists() or mark_path(settings.ledger_path).exists())
        return replace(bare, broken=_broken(bare, settings))
    with contextlib.closing(ledger):
        seen = replace(_recorded(ledger, settings, jobs_file, now), programs=programs, away=away)
        seen = replace(seen, outsider=_outsider(seen))
        return replace(seen, broken=_broken(seen, settings, ledger))


def _recorded(ledger: SqliteReading, settings: Settings, jobs_file: InForce, now: datetime) -> Overview:
    """What the ledger tells."""
    from echopilot_jobs.accounting.cutoff import cut_off
    from echopilot_jobs.accounting.waiting import full

    registry, stint, hold = jobs_file.registry, ledger.stint(), ledger.waiting_hold()
    return Overview(
        now,
        sight.standing(stint, now),
        _dues(registry, ledger.last_runs(), now),
        jobs_file,
        stint,
        open_runs=ledger.open_runs(),
        open_counts=ledger.open_counts(hold.id if hold else None),
        progresses=ledger.progresses(),
        failing=troubles.failing(ledger, registry),
        lately=_lately_gone(settings, ledger, now),
        full=full(ledger, registry, now),
        cut_off=cut_off(ledger, registry.values()),
        trouble=_of_a_day(ledger.runs(states=BAD_ENDS, limit=TROUBLE_MOST), now),
        paused=rows.pauses_now(ledger, now),
        hold=hold,
        clock=ledger.generation(),
    )


def _outsider(seen: Overview) -> Outsider | None:
    if not seen.programs:  # spares the import
        return None
    from echopilot_jobs.accounting.outsider import outsider

    return outsider(seen.stint, seen.programs)


def _lately_gone(settings: Settings, ledger: SqliteReading, now: datetime) -> list[Trouble]:
    """What is over, and may still be news."""
    return [
        *troubles.of_rebirth(settings, ledger, now),
        *troubles.of_deaths(settings, ledger, now),
        *troubles.of_darkness(ledger, now),
    ]


def _in_force(settings: Settings) -> InForce:
    from echopilot_jobs import definitions

    return definitions.in_force(settings)


def _of_a_day(bad: list[Run], now: datetime) -> list[Run]:
    return [run for run in bad if run.finished_at and now - run.finished_at <= TROUBLE_WITHIN]


def _broken(seen: Overview, settings: Settings, ledger: SqliteReading | None = None) -> list[Trouble]:
    """What does not work at this moment, causes before what follows from them."""
    found = [
        *troubles.of_disk(settings),
        *_of_stack(seen, settings),
        *troubles.of_ledger(settings, seen.absent, known=seen.is_unreadable),
        *troubles.of_jobs_file(seen.jobs_file, seen.now),
    ]
    if seen.clock is not None:
        found += troubles.of_clock(seen.clock, seen.now)
    if ledger is not None:
        found += troubles.of_slots(ledger, seen.jobs_file, seen.paused, seen.now)
    return found


def _of_stack(seen: Overview, settings: Settings) -> Iterator[Trouble]:
    """A supervisord that nobody can steer leaves nothing to tell of its programs."""
    if unsteered := list(troubles.of_supervisor(settings, seen.away)):
        return iter(unsteered)
    away = seen.away is not None
    return troubles.of_programs(seen.programs, seen.standing, seen.now, away=away, unknown=seen.is_unreadable)


def _dues(registry: Registry, last: dict[str, Run], now: datetime) -> list[tuple[Job, datetime | None, Run | None]]:
    return [(job, due, last.get(job.name)) for job, due in registry.with_next(now)]


def _programs(settings: Settings) -> tuple[list[Program], str | None]:
    from echopilot_jobs.processes import stack_owner

    if not settings.home.is_dir():
        return [], "its folder does not exist"
    if not settings.supervisor_socket.exists() and stack_owner(settings.var_dir) is None:  # spares the client's import
        return [], f"no supervisord at '{settings.supervisor_socket}'; start the stack with `bin/stack`"
    from echopilot_jobs.supervision import Supervisor

    try:
        return Supervisor(settings.supervisor_socket).programs(), None
    except SupervisorUnreachable as error:
        return [], str(error)


def as_data(seen: Overview, settings: Settings) -> dict[str, Any]:
    """The same as JSON; field names are kept from release to release."""
    return {
        "stack": {"running": seen.away is None, "why_not": seen.away},
        "programs": [program.as_dict() for program in seen.programs],
        "scheduler": {
            "state": seen.standing.state,
            "ok": seen.standing.leads,
            "beat_age_s": seen.standing.beat_age_s,
            "beat_at": iso(seen.stint.beat_at) if seen.stint else None,
            "started_at": iso(seen.stint.started_at) if seen.stint else None,
            "ended_at": iso(seen.stint.ended_at) if seen.stint and seen.stint.ended_at else None,
            "ended_how": seen.stint.ended_how if seen.stint else None,
            "term": seen.stint.term if seen.stint else None,
            "owner": seen.stint.owner if seen.stint else None,
            "host": seen.stint.host if seen.stint else None,
            "stands_by": seen.outsider.stands_by if seen.outsider else None,
        },
        "ledger": {"path": str(settings.ledger_path), "present": seen.absent is None, "why_not": seen.absent},
        "jobs_file": seen.jobs_file.as_dict(),
        "backlog": _backlog_json(seen.hold) if seen.hold else None,
        "clock": {"held": seen.clock.held, "generation": seen.clock.number} if seen.clock else None,
        "jobs": [rows.job_json(*each, seen.paused.get(each[0].name)) for each in seen.jobs],
        "open_runs": [_open_run_json(run, seen) for run in seen.open_runs],
        "broken": [each.as_dict() for each in seen.broken],
        "failing": [each.as_dict() for each in seen.failing],
        "lately": [each.as_dict() for each in seen.lately],
        "places": _full_json(seen.full) if seen.full else None,
        "cut_off": [{"job": each.job_name, "count": each.count} for each in seen.cut_off],
        "trouble": [run.as_dict() for run in seen.trouble],
    }


def _open_run_json(run: Run, seen: Overview) -> dict[str, Any]:
    progress = seen.progresses.get(run.id)
    more = {"owner_alive": sight.owner_alive(run), "progress": progress.as_dict() if progress else None}
    return {**run.as_dict(), **more, "waits": waits(run, seen)}


def _backlog_json(hold: Hold) -> dict[str, Any]:
    return {"count": hold.count, "decided_at": iso(hold.decided_at), "expires_at": iso(hold.expires_at)}


def _full_json(full: Full) -> dict[str, Any]:
    return {"held_by": [run.id for run in full.holders], "waiting": len(full.waiting), "since": iso(full.since)}


def waits(run: Run, seen: Overview) -> str | None:
    """What keeps a run that could start by now from doing so."""
    if run.state not in (State.QUEUED, State.RETRY_WAIT) or (run.not_before and run.not_before > seen.now):
        return None
    from echopilot_jobs.accounting.waiting import crowd_words, is_held_by_pauses

    if run.job_name in seen.paused and is_held_by_pauses(run):
        return f"it waits for the end of the job's pause, or `echopilot resume {run.job_name}`"
    if not seen.standing.leads or (seen.hold and run.hold_id == seen.hold.id):
        return None  # told for all of them
    running = [other for other in seen.open_runs if other.state is State.RUNNING]
    return next(crowd_words(run, seen.jobs_file.registry, running), None)
