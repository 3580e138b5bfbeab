"""`echopilot report`: a day, job by job, at the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from echopilot_jobs.cli import inputs, out, sight
from echopilot_jobs.cli.made import json_option, last_option, made_by, show_end
from echopilot_jobs.jobs import Param
from echopilot_jobs.spans import span

COLUMNS = (
    out.Column("JOB"),
    out.Column("PLANNED", right=True),
    out.Column("RAN", right=True),
    out.Column("SKIPPED", gives_way=True),
    out.Column("ELSE", gives_way=True),
    out.Column("BAD ENDS", right=True),
    out.Column("MISSING", right=True),
    out.Column("TOOK", right=True),
)


def _day(value: str) -> str:
    try:
        return str(Param("date").read(value))
    except ValueError as wanted:
        raise click.BadParameter(f"came '{value[:80]}'; wanted: {wanted}") from None


@click.command("report")
@click.option("--date", type=_day, metavar="YYYY-MM-DD", help="The UTC day; the day before today when left out.")
@last_option
@json_option
def command(date: str | None, last: bool, as_json: bool) -> None:
    """Account for a day, job by job.

    Runs the job daily_report and waits for it; the page it writes is named at the end. It needs a scheduler that leads;
    --last does not.

    Example: echopilot report --date 2026-03-01
    """
    from echopilot_jobs.builtin import REPORT

    if date and last:
        raise click.UsageError("--date makes a new one and --last shows the newest; give one of them")
    now = sight.now()
    if date:
        _refuse_unless_begun(date, now)
    run, data, page = made_by(REPORT, last=last, params={"date": date} if date else {}, now=now)
    if as_json:
        out.emit_json("report", data, now)
        return
    if data["totals"] is None:  # a table of dashes would say less
        out.line(f"{data['headline']}; today so far: `echopilot report --date {now:%Y-%m-%d}`")
        return
    out.heading(f"{data['date']}: {data['headline']}")
    for note in data["notes"]:
        out.line(str(note))
    out.line()
    out.table(COLUMNS, [_row(job) for job in data["jobs"]])
    show_end(run, page)


def _refuse_unless_begun(date: str, now: datetime) -> None:
    from echopilot_jobs.builtin.daily_report import FIRST_DAY

    if date > now.date().isoformat():
        raise inputs.refused("--date", f"came '{date}', which has not begun; wanted: a day up to today (UTC)")
    if date < FIRST_DAY.isoformat():
        raise inputs.refused("--date", f"came '{date}'; wanted: a day from {FIRST_DAY} up to today (UTC)")


def _counts(counts: dict[str, int]) -> str | None:
    return ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in counts.items() if count) or None


def _row(job: dict[str, Any]) -> list[object]:
    took = (job["duration_ms"] or {}).get("p50")
    itself = job.get("skipped_itself", 0)  # an earlier release's report does not tell it apart
    skipped = {**job["skipped"]["by_reason"], "by the job itself": itself}
    others = {"cancelled": job["cancelled"] - itself, "still open": job["open"], "just due": job["due"]}
    return [
        job["job"],
        job["planned"],
        job["ran"],
        _counts(skipped),
        _counts(others),
        job["failures_total"],
        job["missing"]["total"],
        None if took is None else span(took / 1000),
    ]
