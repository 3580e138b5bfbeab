"""`echopilot status`: processes, the scheduler's pulse, jobs, open runs and recent trouble, in one look."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.cli import out, rows, sight
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import LedgerUnavailable, SupervisorUnreachable
from echopilot_jobs.runs import BAD_ENDS, OPEN_STATES, State
from echopilot_jobs.spans import relative, span, stamped

if TYPE_CHECKING:
    from echopilot_jobs.definitions import InForce
    from echopilot_jobs.jobs import Job, Registry
    from echopilot_jobs.runs import Generation, Hold, Pause, Progress, Run, Stint
    from echopilot_jobs.settings import Settings
    from echopilot_jobs.supervision import Program

TROUBLE_MOST = 10
TROUBLE_WITHIN = timedelta(hours=24)
PROGRAM_COLUMNS = (
    out.Column("PROGRAM"),
    out.Column("STATE"),
    out.Column("PID", right=True),
    out.Column("SINCE", gives_way=True),
)


@dataclass(frozen=True)
class Sight:
    """Everything `status` tells, gathered at one moment. *absent* says why there is no ledger, *away* why no supervisord."""

    now: datetime
    standing: sight.Standing
    jobs: list[tuple[Job, datetime | None, Run | None]]
    jobs_file: InForce
    stint: Stint | None = None
    programs: list[Program] = field(default_factory=list)
    open_runs: list[Run] = field(default_factory=list)
    progresses: dict[int, Progress] = field(default_factory=dict)
    trouble: list[Run] = field(default_factory=list)
    paused: dict[str, Pause] = field(default_factory=dict)
    hold: Hold | None = None
    clock: Generation | None = None
    away: str | None = None
    absent: str | None = None


@click.command("status")
@click.option("-w", "--watch", is_flag=True, help="Show it anew every second until Ctrl-C; on a terminal only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(watch: bool, as_json: bool) -> None:
    """Show how everything stands, running or not.

    Example: echopilot status --watch
    """
    if watch:
        if as_json:
            raise click.UsageError("--watch is for people, --json for programs; give one of them")
        from echopilot_jobs.cli.watching import refuse_without_terminal
        from echopilot_jobs.cli.watching import watch as watching

        refuse_without_terminal()
    settings = sight.settings()
    if watch:
        watching(lambda: _show(look(settings, sight.now())))
    seen = look(settings, sight.now())
    if as_json:
        out.emit_json("status", as_data(seen, settings), seen.now)
    else:
        _show(seen)


def look(settings: Settings, now: datetime) -> Sight:
    """The state of things at *now*; a stack that is down or was never started is an answer, not an error."""
    programs, away = _programs(settings)
    jobs_file = sight.in_force(settings)
    registry = jobs_file.registry
    try:
        ledger = sight.reading(settings)
    except LedgerUnavailable as error:
        dues = _dues(registry, {}, now)
        standing = sight.standing(None, now)
        return Sight(now, standing, dues, jobs_file, None, programs, away=away, absent=str(error))
    with contextlib.closing(ledger):
        dues, stint = _dues(registry, ledger.last_runs(), now), ledger.stint()
        open_runs, progresses = ledger.runs(states=OPEN_STATES), ledger.progresses()
        bad = ledger.runs(states=BAD_ENDS, limit=TROUBLE_MOST)
        paused, hold, clock = rows.pauses_now(ledger, now), ledger.waiting_hold(), ledger.generation()
    trouble = [run for run in bad if run.finished_at and now - run.finished_at <= TROUBLE_WITHIN]
    standing = sight.standing(stint, now)
    facts = (jobs_file, stint, programs, open_runs, progresses, trouble, paused, hold, clock)
    return Sight(now, standing, dues, *facts, away=away)


def _dues(registry: Registry, last: dict[str, Run], now: datetime) -> list[tuple[Job, datetime | None, Run | None]]:
    return [(job, due, last.get(job.name)) for job, due in registry.with_next(now)]


def as_data(seen: Sight, settings: Settings) -> dict[str, Any]:
    """The same as JSON; field names are kept from release to release."""
    return {
        "stack": {"running": seen.away is None, "why_not": seen.away},
        "programs": [_program_json(program) for program in seen.programs],
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
        },
        "ledger": {"path": str(settings.ledger_path), "present": seen.absent is None, "why_not": seen.absent},
        "jobs_file": seen.jobs_file.as_dict(),
        "backlog": _backlog_json(seen.hold) if seen.hold else None,
        "clock": {"held": seen.clock.held, "generation": seen.clock.number} if seen.clock else None,
        "jobs": [rows.job_json(*each, seen.paused.get(each[0].name)) for each in seen.jobs],
        "open_runs": [_open_run_json(run, seen.progresses.get(run.id)) for run in seen.open_runs],
        "trouble": [run.as_dict() for run in seen.trouble],
    }


def _open_run_json(run: Run, progress: Progress | None) -> dict[str, Any]:
    return {**run.as_dict(), "owner_alive": _owner_alive(run), "progress": progress.as_dict() if progress else None}


def _backlog_json(hold: Hold) -> dict[str, Any]:
    return {"count": hold.count, "decided_at": iso(hold.decided_at), "expires_at": iso(hold.expires_at)}


def _program_json(program: Program) -> dict[str, Any]:
    return {
        "name": program.name,
        "state": program.state,
        "pid": program.pid,
        "started_at": iso(program.started_at) if program.started_at else None,
        "exit_status": program.exit_status,
    }


def _programs(settings: Settings) -> tuple[list[Program], str | None]:
    if not settings.supervisor_socket.exists():  # spares the import of an RPC client when nothing runs
        return [], f"no supervisord at '{settings.supervisor_socket}'; start the stack with `bin/stack`"
    from echopilot_jobs.supervision import Supervisor

    try:
        return Supervisor(settings.supervisor_socket).programs(), None
    except SupervisorUnreachable as error:
        return [], str(error)


def _show(seen: Sight) -> None:
    out.facts(
        [
            ("stack", f"not running: {seen.away}" if seen.away else _programs_in_words(seen.programs)),
            ("scheduler", f"{seen.standing.state} ({seen.standing.sentence})"),
            *([("ledger", seen.absent)] if seen.absent else []),
            *_waiting(seen),
        ]
    )
    if seen.programs:
        out.line()
        out.table(PROGRAM_COLUMNS, [_program_row(program, seen.now) for program in seen.programs])
    held = seen.hold.id if seen.hold else 0  # those of the backlog are told of together
    if shown := [run for run in seen.open_runs if run.hold_id != held or run.state is not State.QUEUED]:
        out.line()
        out.heading("open runs")
        for run in shown:
            out.line(f"  {_open_run(run, seen.now, seen.progresses.get(run.id))}")
    out.line()
    lines = [rows.job_row(*each, seen.now, seen.paused.get(each[0].name)) for each in seen.jobs]
    out.table(rows.JOB_COLUMNS, lines)
    _show_trouble(seen)


def _waiting(seen: Sight) -> Iterator[tuple[str, str]]:
    """What waits for a person."""
    if seen.hold:
        from echopilot_jobs.accounting.reasons import unanswered_words

        unanswered = unanswered_words(seen.hold, seen.now)
        yield "backlog", f"{seen.hold.count:,} missed slots wait for a word; {unanswered}; see `echopilot backlog`"
    if seen.clock and seen.clock.held:
        yield "clock", f"set {relative(seen.clock.began_at, seen.now)}; calendar jobs wait; see `echopilot clock`"
    for pause in seen.paused.values():
        note = f": {pause.note}" if pause.note else ""
        yield "paused", f"{pause.job_name}, by {pause.actor} {relative(pause.since, seen.now)}{note}"


def _show_trouble(seen: Sight) -> None:
    if seen.absent:
        return
    out.line()
    if not seen.trouble:
        out.line("no trouble in the last 24 h")
        return
    out.heading("trouble in the last 24 h, newest first")
    for run in seen.trouble:
        ended = relative(run.finished_at or run.claimed_at, seen.now)
        out.line(
            f"  run {run.id} of {run.job_name} {run.state.value} {ended}: {rows.brief_error(run) or 'no reason kept'}"
        )


def _programs_in_words(programs: list[Program]) -> str:
    up = sum(program.state == "RUNNING" for program in programs)
    return f"running, {up} of {len(programs)} programs up"


def _program_row(program: Program, now: datetime) -> list[object]:
    return [program.name, program.state, program.pid, stamped(program.started_at, now)]


def _open_run(run: Run, now: datetime, progress: Progress | None) -> str:
    name = f"run {run.id} of {run.job_name}"
    if run.state is State.RUNNING and run.started_at:
        from echopilot_jobs.cli.following import progress_words

        dead = "; its scheduler is dead, the next one will end it" if _owner_alive(run) is False else ""
        far = f": {progress_words(progress)}" if progress else ""
        return f"{name} has been running for {span(now - run.started_at)}, attempt {run.attempt}{far}{dead}"
    held = f", not before {stamped(run.not_before, now)}" if run.not_before else ""
    return f"{name} is {run.state.value}, claimed {relative(run.claimed_at, now)}{held}"


def _owner_alive(run: Run) -> bool | None:
    """Whether the scheduler that started the run lives; None where that cannot be told from here."""
    import socket

    from echopilot_jobs.processes import Owner, is_alive

    if run.owner is None or run.host != socket.gethostname():
        return None
    try:
        return is_alive(Owner.parse(run.owner))
    except (ValueError, OSError):
        return None
