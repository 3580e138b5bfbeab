"""`echopilot jobs`: what is defined, when it is due next, how it went last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import out, rows, sight
from echopilot_jobs.errors import LedgerUnavailable

if TYPE_CHECKING:
    from echopilot_jobs.holds import Pause
    from echopilot_jobs.runs import Run


@click.command("jobs")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the jobs with their next slot and last run.

    Example: echopilot jobs
    """
    now, settings = sight.now(), sight.settings()
    found = sight.in_force(settings)
    last: dict[str, Run] = {}
    paused: dict[str, Pause] = {}
    try:
        ledger = sight.reading(settings)
    except LedgerUnavailable as error:
        out.say(f"note: no history: {error}")
    else:
        sight.say_unless_led(sight.standing(ledger.stint(), now), "nothing starts at these times")
        last, paused = ledger.last_runs(), rows.pauses_now(ledger, now)
        ledger.close()
    lines = [(job, due, last.get(job.name), paused.get(job.name)) for job, due in found.registry.with_next(now)]
    if as_json:
        facts = {"jobs_file": found.as_dict()}
        out.emit_json("jobs", [rows.job_json(*each) for each in lines], now, **facts)
    else:
        out.table(rows.JOB_COLUMNS, [rows.job_row(job, due, newest, now, pause) for job, due, newest, pause in lines])
