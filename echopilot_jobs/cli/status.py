"""`echopilot status`: processes, the scheduler's pulse, jobs, open runs and recent trouble, in one look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import out, rows, sight
from echopilot_jobs.cli import trouble as troubles
from echopilot_jobs.cli.overview import TROUBLE_MOST, Overview, as_data, look, waits
from echopilot_jobs.runs import State
from echopilot_jobs.spans import ago, near, relative, span, stamped, until_words

if TYPE_CHECKING:
    from echopilot_jobs.runs import Progress, Run
    from echopilot_jobs.supervision import Program

OPEN_MOST = 10
PROGRAM_COLUMNS = (
    out.Column("PROGRAM"),
    out.Column("STATE"),
    out.Column("PID", right=True),
    out.Column("SINCE", gives_way=True),
)


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


def _show(seen: Overview) -> None:
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


def _show_open_runs(seen: Overview) -> None:
    held = seen.hold.id if seen.hold else 0  # those of the backlog are told of together
    shown = [run for run in seen.open_runs if run.hold_id != held or run.state is not State.QUEUED][:OPEN_MOST]
    if not shown:
        return
    out.line()
    out.heading("open runs")
    for run in shown:
        held_by = waits(run, seen)
        far = seen.progresses.get(run.id)
        out.sentence(_open_run(run, seen.now, far) + (f"; {held_by}" if held_by else ""), lead="  ")
    more = Counter(seen.open_counts) - Counter(run.job_name for run in shown)
    if more:
        named = [f"{count:,} of {name}" for name, count in more.most_common(troubles.NAMED_MOST)]
        others = f" and {len(more) - len(named)} other jobs" if len(more) > len(named) else ""
        out.sentence(f"and {more.total():,} more: {', '.join(named)}{others}; see `echopilot runs --open`", lead="  ")


def _show_worst(seen: Overview) -> None:
    if seen.broken:
        out.heading("broken now")
        for each in seen.broken:
            out.marked("!", "fail", each.what, each.do)
        out.line()
    if seen.failing:
        out.heading("failing")
        for bad in seen.failing[:TROUBLE_MOST]:
            out.marked("!", "fail", bad.words(seen.now), bad.remedy)
        if len(seen.failing) > TROUBLE_MOST:
            out.line(f"  and {len(seen.failing) - TROUBLE_MOST} more jobs; see `echopilot runs --failed`")
        out.line()
    if seen.lately:
        out.heading("lately")
        for each in seen.lately:
            out.marked("!", "warn", each.what, each.do)
        out.line()


def _waiting(seen: Overview) -> Iterator[tuple[str, str]]:
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


def _show_trouble(seen: Overview) -> None:
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


def _away_words(seen: Overview) -> str:
    told = [each.what for each in seen.broken if f"{each.what}; {each.do}" == seen.away]
    if told:  # it lives, and what it needs is said above
        return f"out of reach: {told[0]}"
    return f"{'out of reach' if seen.standing.leads else 'not running'}: {seen.away}"


def _programs_in_words(programs: list[Program]) -> str:
    up = sum(program.state == "RUNNING" for program in programs)
    return f"running, {up} of {len(programs)} programs up"


def _is_starting(seen: Overview) -> bool:
    """Whether a scheduler runs that has not led yet."""
    up = any(program.name == "scheduler" and not program.trouble for program in seen.programs)
    return up and seen.standing.state in ("never", "stopped")


def _scheduler_words(seen: Overview) -> str:
    if seen.is_unreadable:
        return "unknown: what it does is written in the ledger, and that cannot be read"
    if _is_starting(seen):
        ended = seen.stint.ended_at if seen.stint else None
        before = f"; the one before it ended {relative(ended, seen.now)}" if ended else ""
        return f"its program runs; it has planned nothing yet{before}"
    standing = seen.standing
    beside = f"; {seen.outsider.words}; {seen.outsider.remedy}" if seen.outsider else ""
    return standing.sentence if standing.state == "never" else f"{standing.state} ({standing.sentence}){beside}"


def _program_row(program: Program, now: datetime) -> list[object]:
    return [program.name, program.state, program.pid, stamped(program.started_at, now)]


def _open_run(run: Run, now: datetime, progress: Progress | None) -> str:
    name = f"run {run.id} of {run.job_name}"
    if run.state is State.RUNNING and run.started_at:
        dead = "; its scheduler is dead, the next one will end it" if sight.owner_alive(run) is False else ""
        far = f": {progress.words}" if progress else ""
        # It may have started after the clock was read.
        lasted = span(max(now - run.started_at, timedelta(0)))
        return f"{name} has been running for {lasted}, attempt {run.attempt}{far}{dead}"
    if run.state is State.RETRY_WAIT:
        ended = f"attempt {run.attempt} {run.attempt_words}: {rows.brief_error(run) or 'no reason kept'}"
        return f"{name} is {rows.state_words(run, now)}; {ended}"
    held = f", not before {stamped(run.not_before, now)}" if run.not_before else ""
    return f"{name} is {run.words}, claimed {ago(run.claimed_at, now)}{held}"
