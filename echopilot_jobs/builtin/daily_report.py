"""The job `daily_report`: the previous UTC day, every planned slot accounted for, as JSON and as a page."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from echopilot_jobs.artefacts import write_pair
from echopilot_jobs.builtin.daystrip import background, strip
from echopilot_jobs.builtin.report_data import report_data
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.context import RunContext
from echopilot_jobs.definitions import in_force
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.ledger import Ledger, SqliteLedger
from echopilot_jobs.reporting import DAY, DayReport, gather, report
from echopilot_jobs.runs import exit_words
from echopilot_jobs.settings import Settings, load
from echopilot_jobs.spans import span, stamp

FIRST_DAY = date(1970, 1, 2)
DAY_RULE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class NoSuchDay(EchoPilotError):
    """The day asked for cannot be reported."""


def run(ctx: RunContext) -> dict[str, Any]:
    """Write `logs/reports/report_YYYYMMDD.json` and `.html` of the day before, or of `date` among the parameters.

    Returns headline, json_path and html_path (relative to the home), sha256 and bytes (of the JSON).
    A day reported again gets `_2`, `_3`…
    """
    settings = load()
    day = day_of(ctx)
    with contextlib.closing(SqliteLedger(settings.ledger_path, create=False)) as ledger:
        data, page = make(day, settings, ledger, SystemClock().now())
    pair = write_pair(settings.logs_dir / "reports", f"report_{day:%Y%m%d}", data, page)
    return {
        "headline": data["headline"],
        "json_path": str(pair.json_path.relative_to(settings.home)),
        "html_path": str(pair.html_path.relative_to(settings.home)),
        "sha256": pair.sha256,
        "bytes": pair.bytes,
    }


def day_of(ctx: RunContext) -> date:
    """The UTC day to report: the parameter `date` if given, else the day before the slot (or, without one, the start).

    Raises `NoSuchDay` for a value that is no day, or a day that has not begun.
    """
    reference = (ctx.slot_at or ctx.started_at).astimezone(UTC).date()
    if ctx.params.get("date") is None:
        return reference - DAY
    today = ctx.started_at.astimezone(UTC).date()
    given = str(ctx.params["date"])
    with contextlib.suppress(ValueError):
        day = date.fromisoformat(given) if DAY_RULE.fullmatch(given) else FIRST_DAY - DAY
        if FIRST_DAY <= day <= today:
            return day
    raise NoSuchDay(
        f"parameter date: came '{given[:80]}'; wanted: a UTC day that has begun, YYYY-MM-DD, "
        f"for example {today - timedelta(days=1)}"
    )


def make(day: date, settings: Settings, ledger: Ledger, now: datetime) -> tuple[dict[str, Any], str]:
    """The report of *day* as it stands at *now*: its data and its page."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    figures = report(day, in_force(settings).registry, gather(ledger, start, start + DAY), now)
    data = report_data(figures, ledger, now)
    return data, page_of(data, figures, now)


def page_of(data: dict[str, Any], figures: DayReport, now: datetime) -> str:
    """The page. Every text in it is escaped by the template."""
    environment = Environment(
        loader=PackageLoader("echopilot_jobs.builtin"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["ms"] = _milliseconds
    environment.filters["clock"] = _clock
    environment.filters["moment"] = _moment
    environment.filters["exit_words"] = exit_words
    strips = {job.name: strip(job, figures) for job in figures.jobs}
    return environment.get_template("daily_report.html").render(
        data=data, strips=strips, background=background(figures), made_at=stamp(now), dark_for=span(figures.dark_for)
    )


def _milliseconds(count: float | None) -> str:
    return "-" if count is None else span(count / 1000)


def _moment(moment: str) -> str:
    """Day and time of an ISO moment of the data."""
    return f"{moment[:10]} {moment[11:19]}"


def _clock(moment: str | None) -> str:
    """The time of day of an ISO moment of the data."""
    return "-" if moment is None else moment[11:19]
