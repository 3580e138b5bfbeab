"""`echopilot pause JOB`: let a job's slots pass unrun, for a while or until somebody resumes it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from echopilot_jobs.accounting.reasons import pause_json
from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.cli.inputs import future_moment, length
from echopilot_jobs.errors import WrongState
from echopilot_jobs.spans import stamped, until_words

if TYPE_CHECKING:
    from echopilot_jobs.holds import Pause
    from echopilot_jobs.jobs import Job, Registry

NOTE_MOST = 500
REFUSED = 3
COLUMNS = (out.Column("JOB", gives_way=True), out.Column("MEANWHILE", gives_way=True))


@click.command("pause")
@click.argument("jobs", nargs=-1, metavar="[JOB]...", shell_complete=job_names)
@click.option("--all", "everyone", is_flag=True, help="Every job.")
@click.option("--for", "lasting", type=length, metavar="LENGTH", help="End it by itself after 90s, 15m, 2h, 3d.")
@click.option("--until", metavar="TIME", help="End it by itself at a moment such as '18:00' or '2026-03-01 08:00'.")
@click.option("--note", default="", metavar="TEXT", help="Why, for whoever asks later.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    jobs: tuple[str, ...], everyone: bool, lasting: timedelta | None, until: str | None, note: str, as_json: bool
) -> int:
    """Let JOB's slots pass unrun, recorded as paused.

    Without --for or --until it lasts until `echopilot resume`. What runs already goes on, and what waits in the queue waits
    until the end of the pause. A run by hand starts all the same. A pause ends by the wall clock, however it is set.

    Example: echopilot pause ceo_brief --for 2h --note 'the office moves'
    """
    now, settings = sight.now(), sight.settings()
    end = _end(now, lasting, until)
    if len(note) > NOTE_MOST:
        raise click.UsageError(f"--note of {len(note):,} characters; wanted: at most {NOTE_MOST}")
    note = note.encode(
        "utf-8", "backslashreplace"
    ).decode()  # bytes that are no text come from a shell as half characters
    registry, ledger = sight.registry(settings), sight.ledger(settings)
    paused: list[Pause] = []
    refused: list[str] = []
    for name in acting.chosen(registry, ledger, jobs, everyone):
        try:
            paused.append(ledger.pause(name, now, end, acting.actor(), note))
        except WrongState as error:
            refused.append(str(error))
    if paused:
        acting.wake(ledger, settings, now, "nothing runs in any case; the pause holds when one starts")
    if as_json:
        out.emit_json("paused", [pause_json(pause) for pause in paused], now)
    elif paused and everyone:
        _show_all(paused, registry, now)
    for pause in () if as_json or everyone else paused:
        out.line(_words(pause, registry.get(pause.job_name), now))
    for words in refused:
        out.say(f"{'note' if everyone else 'error'}: {words}")
    return REFUSED if refused and not everyone else 0


def _end(now: datetime, lasting: timedelta | None, until: str | None) -> datetime | None:
    if lasting is not None and until is not None:
        raise click.UsageError("give --for or --until, not both")
    if until is not None:
        return future_moment("--until", until, now)
    return (now + lasting).replace(microsecond=0) if lasting is not None else None


def _show_all(paused: list[Pause], registry: Registry, now: datetime) -> None:
    out.table(COLUMNS, [[pause.job_name, _cost(pause, registry.get(pause.job_name))] for pause in paused])
    out.line()
    jobs = f"{len(paused):,} job{'' if len(paused) == 1 else 's'}"
    out.line(f"the pause of {jobs} lasts {_ends(paused[0], now)}; end it with `echopilot resume --all`")


def _ends(pause: Pause, now: datetime) -> str:
    return until_words(pause.until, lambda moment: stamped(moment, now))


def _words(pause: Pause, job: Job | None, now: datetime) -> str:
    name = pause.job_name
    return f"{name} is paused {_ends(pause, now)}; {_cost(pause, job)}; end it with `echopilot resume {name}`"


def _cost(pause: Pause, job: Job | None) -> str:
    """How many slots will pass, where that can be said."""
    if job is None or not job.enabled:
        return "it has no slots anyway"
    from echopilot_jobs.accounting.preview import MOST, coming

    if pause.until is None:
        first = coming(job, pause.since, 1)
        return (
            f"its slots pass unrun, the first at {stamped(first[0].slot.due_at, pause.since)}"
            if first
            else "no slot is to come"
        )
    passing = len(coming(job, pause.since, until=pause.until))
    count = f"more than {MOST:,}" if passing == MOST else f"{passing:,}"
    return f"{count} slot{'' if passing == 1 else 's'} will pass unrun" if passing else "no slot comes due meanwhile"
