"""`echopilot status`: processes, the scheduler's pulse, jobs, open runs and recent trouble, in one look."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.cli import out, rows, sight
from echopilot_jobs.cli import trouble as troubles
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import LedgerUnavailable, SupervisorUnreachable
from echopilot_jobs.records import record
from echopilot_jobs.runs import BAD_ENDS, State
from echopilot_jobs.spans import ago, near, relative, span, stamped, until_words

if TYPE_CHECKING:
    from echopilot_jobs.accounting.cutoff import CutOff
    from echopilot_jobs.accounting.waiting import Full
    from echopilot_jobs.cli.trouble import Failing, Trouble
    from echopilot_jobs.definitions import InForce
    from echopilot_jobs.jobs import Job, Registry
    from echopilot_jobs.ledger import SqliteReading
    from echopilot_jobs.runs import Generation, Hold, Pause, Progress, Run, Stint
    from echopilot_jobs.settings import Settings
    from echopilot_jobs.supervision import Program

OPEN_MOST = 10
TROUBLE_MOST = 10
TROUBLE_WITHIN = timedelta(hours=24)
PROGRAM_COLUMNS = (
    out.Column("PROGRAM"),
    out.Column("STATE"),
    out.Column("PID", right=True),
    out.Column("SINCE", gives_way=True),
)


@record(frozen=True)
class Sight:
    """Everything `status` tells, gathered at one moment. *absent* says why there is no ledger, *away* why no supervisord."""

    now: datetime
    standing: sight.Standing
    jobs: list[tuple[Job, datetime | None, Run | None]]
    jobs_file: InForce
    stint: Stint | None = None
    programs: list[Program] = field(default_factory=list)
    open_runs: list[Run] = field(default_factory=list)
    open_counts: dict[str, int] = field(default_factory=dict)
    progresses: dict[int, Progress] = field(default_factory=dict)
    broken: list[Trouble] = field(default_factory=list)
    failing: list[Failing] = field(default_factory=list)
    full: Full | None = None
    cut_off: list[CutOff] = field(default_factory=list)
    trouble: list[Run] = field(default_factory=list)
    paused: dict[str, Pause] = field(default_factory=dict)
    hold: Hold | None = None
    clock: Generation | None = None
    away: str | None = None
    absent: str | None = None
    is_unreadable: bool = False  # there is a ledger, or was one, and that is all one can say of it


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
    jobs_file = _in_force(settings)  # that it is refused is told among what is broken
    try:
        ledger = sight.reading(settings)
    except LedgerUnavailable as error:
        from echopilot_jobs.ledger.identity import mark_path

        dues = _dues(jobs_file.registry, {}, now)
        standing = sight.standing(None, now)
        if not settings.home.is_dir():  # no start would help
            standing = sight.Standing(standing.state, "never started here")
        bare = Sight(now, standing, dues, jobs_file, programs=programs, away=away, absent=str(error))
        bare = replace(bare, is_unreadable=settings.ledger_path.exists() or mark_path(settings.ledger_path).exists())
        return replace(bare, broken=_broken(bare, settings))
    with contextlib.closing(ledger):
        seen = replace(_recorded(ledger, jobs_file, now), programs=programs, away=away)
        return replace(seen, broken=_broken(seen, settings, ledger))


def _recorded(ledger: SqliteReading, jobs_file: InForce, now: datetime) -> Sight:
    """What the ledger tells."""
    from echopilot_jobs.accounting.cutoff import cut_off
    from echopilot_jobs.accounting.waiting import full

    registry, stint, hold = jobs_file.registry, ledger.stint(), ledger.waiting_hold()
    return Sight(
        now,
        sight.standing(stint, now),
        _dues(registry, ledger.last_runs(), now),
        jobs_file,
        stint,
        open_runs=ledger.open_runs(),
        open_counts=ledger.open_counts(hold.id if hold else None),
        progresses=ledger.progresses(),
        failing=troubles.failing(ledger, registry),
        full=full(ledger, registry, now),
        cut_off=cut_off(ledger, registry.values()),
        trouble=_lately(ledger.runs(states=BAD_ENDS, limit=TROUBLE_MOST), now),
        paused=rows.pauses_now(ledger, now),
        hold=hold,
        clock=ledger.generation(),
    )


def _in_force(settings: Settings) -> InForce:
    from echopilot_jobs import definitions

    return definitions.in_force(settings)


def _lately(bad: list[Run], now: datetime) -> list[Run]:
    return [run for run in bad if run.finished_at and now - run.finished_at <= TROUBLE_WITHIN]


def _broken(seen: Sight, settings: Settings, ledger: SqliteReading | None = None) -> list[Trouble]:
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
        found += troubles.of_deaths(settings, ledger, seen.now)
        found += troubles.of_slots(ledger, seen.jobs_file, seen.paused, seen.now)
    return found


def _of_stack(seen: Sight, settings: Settings) -> Iterator[Trouble]:
    """A supervisord that nobody can steer leaves nothing to tell of its programs."""
    if unsteered := list(troubles.of_supervisor(settings, seen.away)):
        return iter(unsteered)
    return troubles.of_programs(seen.programs, seen.standing, seen.now, away=seen.away is not None)


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
        "open_runs": [_open_run_json(run, seen) for run in seen.open_runs],
        "broken": [each.as_dict() for each in seen.broken],
        "failing": [each.as_dict() for each in seen.failing],
        "places": _full_json(seen.full) if seen.full else None,
        "cut_off": [{"job": each.job_name, "count": each.count} for each in seen.cut_off],
        "trouble": [run.as_dict() for run in seen.trouble],
    }


def _open_run_json(run: Run, seen: Sight) -> dict[str, Any]:
    progress = seen.progresses.get(run.id)
    more = {"owner_alive": _owner_alive(run), "progress": progress.as_dict() if progress else None}
    return {**run.as_dict(), **more, "waits": _waits(run, seen)}


def _backlog_json(hold: Hold) -> dict[str, Any]:
    return {"count": hold.count, "decided_at": iso(hold.decided_at), "expires_at": iso(hold.expires_at)}


def _full_json(full: Full) -> dict[str, Any]:
    return {"held_by": [run.id for run in full.holders], "waiting": full.waiting, "since": iso(full.since)}


def _program_json(program: Program) -> dict[str, Any]:
    return {
        "name": program.name,
        "state": program.state,
        "pid": program.pid,
        "started_at": iso(program.started_at) if program.started_at else None,
        "exit_status": program.exit_status,
    }


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


def _show(seen: Sight) -> None:
    """The worst first: somebody who was woken by it has thirty seconds."""
    _show_worst(seen)
    out.facts(
        [
            ("stack", _away_words(seen) if seen.away else _programs_in_words(seen.programs)),
            ("scheduler", _scheduler_words(seen)),
            *([("ledger", seen.absent)] if seen.absent and not (seen.is_unreadable or _is_starting(seen)) else []),
            *_waiting(seen),
        ]
    )
    if seen.programs:
        out.line()
        out.table(PROGRAM_COLUMNS, [_program_row(program, seen.now) for program in seen.programs])
    _show_open_runs(seen)
    out.line()
    lines = [rows.job_row(*each, seen.now, seen.paused.get(each[0].name)) for each in seen.jobs]
    out.table(rows.JOB_COLUMNS, lines)
    _show_trouble(seen)


def _show_open_runs(seen: Sight) -> None:
    held = seen.hold.id if seen.hold else 0  # those of the backlog are told of together
    shown = [run for run in seen.open_runs if run.hold_id != held or run.state is not State.QUEUED][:OPEN_MOST]
    if not shown:
        return
    out.line()
    out.heading("open runs")
    for run in shown:
        waits = _waits(run, seen)
        out.sentence(_open_run(run, seen.now, seen.progresses.get(run.id)) + (f"; {waits}" if waits else ""), lead="  ")
    more = Counter(seen.open_counts) - Counter(run.job_name for run in shown)
    if more:
        named = [f"{count:,} of {name}" for name, count in more.most_common(troubles.NAMED_MOST)]
        others = f" and {len(more) - len(named)} other jobs" if len(more) > len(named) else ""
        out.sentence(f"and {more.total():,} more: {', '.join(named)}{others}; see `echopilot runs --open`", lead="  ")


def _show_worst(seen: Sight) -> None:
    if seen.broken:
        out.heading("broken now")
        for each in seen.broken:
            out.marked("!", "fail", each.what, each.do)
        out.line()
    if seen.failing:
        out.heading("failing")
        for bad in seen.failing[:TROUBLE_MOST]:
            out.marked(
                "!", "fail", bad.words(seen.now), f"`echopilot show {bad.run.id}`, then `echopilot retry {bad.run.id}`"
            )
        if len(seen.failing) > TROUBLE_MOST:
            out.line(f"  and {len(seen.failing) - TROUBLE_MOST} more jobs; see `echopilot runs --failed`")
        out.line()


def _waiting(seen: Sight) -> Iterator[tuple[str, str]]:
    """What waits for a person."""
    if seen.hold:
        from echopilot_jobs.accounting.reasons import unanswered_words

        unanswered = unanswered_words(seen.hold, seen.now)
        yield "backlog", f"{seen.hold.count:,} missed slots wait for a word; {unanswered}; see `echopilot backlog`"
    if seen.full:
        words = seen.full.words(lambda moment: near(moment, seen.now))
        yield "places", f"{words} since {near(seen.full.since, seen.now)}; {seen.full.remedy}"
    for each in seen.cut_off:
        yield "cut off", f"{each.words}; {each.remedy}"
    for pause in seen.paused.values():
        ends = until_words(pause.until, lambda moment: stamped(moment, seen.now))
        note = f": {pause.note}" if pause.note else ""
        yield "paused", f"{pause.job_name}, by {pause.actor} {relative(pause.since, seen.now)}, {ends}{note}"


def _show_trouble(seen: Sight) -> None:
    if seen.absent:
        return
    out.line()
    told = {each.run.id for each in seen.failing}
    others = [run for run in seen.trouble if run.id not in told]
    if not others:
        out.line(f"no {'other ' if told else ''}bad end in the last 24 h")
        return
    out.heading(f"{'other ' if told else ''}bad ends in the last 24 h, newest first")
    for run in others:
        ended = ago(run.finished_at or run.claimed_at, seen.now)
        reason = rows.brief_error(run) or "no reason kept"
        out.sentence(f"run {run.id} of {run.job_name} {run.words} {ended}: {reason}", lead="  ")


def _away_words(seen: Sight) -> str:
    told = [each.what for each in seen.broken if f"{each.what}; {each.do}" == seen.away]
    if told:  # it lives, and what it needs is said above
        return f"out of reach: {told[0]}"
    return f"{'out of reach' if seen.standing.leads else 'not running'}: {seen.away}"


def _programs_in_words(programs: list[Program]) -> str:
    up = sum(program.state == "RUNNING" for program in programs)
    return f"running, {up} of {len(programs)} programs up"


def _is_starting(seen: Sight) -> bool:
    """Whether a scheduler runs that has not led yet."""
    up = any(program.name == "scheduler" and not program.trouble for program in seen.programs)
    return up and seen.standing.state in ("never", "stopped")


def _scheduler_words(seen: Sight) -> str:
    if seen.is_unreadable:
        return "unknown: what it does is written in the ledger, and that cannot be read"
    if _is_starting(seen):
        ended = seen.stint.ended_at if seen.stint else None
        before = f"; the one before it ended {relative(ended, seen.now)}" if ended else ""
        return f"its program runs; it has planned nothing yet{before}"
    standing = seen.standing
    return standing.sentence if standing.state == "never" else f"{standing.state} ({standing.sentence})"


def _program_row(program: Program, now: datetime) -> list[object]:
    return [program.name, program.state, program.pid, stamped(program.started_at, now)]


def _open_run(run: Run, now: datetime, progress: Progress | None) -> str:
    name = f"run {run.id} of {run.job_name}"
    if run.state is State.RUNNING and run.started_at:
        dead = "; its scheduler is dead, the next one will end it" if _owner_alive(run) is False else ""
        far = f": {progress.words}" if progress else ""
        # It may have started after the clock was read.
        lasted = span(max(now - run.started_at, timedelta(0)))
        return f"{name} has been running for {lasted}, attempt {run.attempt}{far}{dead}"
    if run.state is State.RETRY_WAIT:
        ended = f"attempt {run.attempt} {run.attempt_words}: {rows.brief_error(run) or 'no reason kept'}"
        return f"{name} is {rows.state_words(run, now)}; {ended}"
    held = f", not before {stamped(run.not_before, now)}" if run.not_before else ""
    return f"{name} is {run.words}, claimed {ago(run.claimed_at, now)}{held}"


def _waits(run: Run, seen: Sight) -> str | None:
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
