"""`echopilot next`: the slots to come, the very ones the scheduler will plan."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.cli.inputs import future_moment, moment, whole, zone
from echopilot_jobs.cli.zoned import wall
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.records import record
from echopilot_jobs.spans import relative
from echopilot_jobs.triggers import Cron, OnRequest, without_end, without_schedule

if TYPE_CHECKING:
    from echopilot_jobs.accounting.preview import Coming
    from echopilot_jobs.holds import Pause
    from echopilot_jobs.jobs import Job

MOST = 1_000
USUAL = 5
COLUMNS = (out.Column("JOB", gives_way=True), out.Column("SLOT"), out.Column("IN"), out.Column("NOTE", gives_way=True))


@record(frozen=True)
class _Known:
    """What the ledger knows of the time to come: pauses, calendar jobs that wait for the clock, and who leads."""

    pauses: Sequence[Pause] = ()
    clock_waits: bool = False
    standing: sight.Standing | None = None
    absent: str = ""  # why there is no ledger


@click.command("next")
@click.argument("jobs", nargs=-1, metavar="[JOB]...", shell_complete=job_names)
@click.option(
    "--count",
    type=whole(f"a whole number from 1 to {MOST:,}", MOST),
    metavar="N",
    help=f"So many of each job, at most {MOST:,}; {USUAL} by default.",
)
@click.option("--until", metavar="TIME", help=f"All up to then, at most {MOST:,} of each job; excludes --count.")
@click.option("--after", metavar="TIME", help="Those after another moment than now.")
@click.option("--tz", "tz", type=zone, metavar="ZONE", help="Show times of this zone; UTC by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    jobs: tuple[str, ...], count: int | None, until: str | None, after: str | None, tz: str | None, as_json: bool
) -> None:
    """Show the next slots of JOB, or of every job, the earliest first.

    Of a cron rule with both a day of month and a day of week, a day that fits one of them is a slot, as in cron. For the
    first Monday of a month write '0 9 * * MON#1'; for any other day that must fit both, run on the one and have the job
    look for the other.

    Example: echopilot next ceo_brief --count 5
    """
    if count is not None and until is not None:
        raise click.UsageError("give --count or --until, not both")
    now, settings = sight.now(), sight.settings()
    registry = sight.registry(settings)
    start = now if after is None else moment("--after", after, now, tz, prefer="future")
    end = None if until is None else future_moment("--until", until, now, tz)
    chosen = [registry[name] for name in dict.fromkeys(jobs)] or list(registry.values())
    known = _known(start, now)
    found = _coming(chosen, start, end, count, known.pauses)
    if any(slots for _, slots in found):
        _say_who_starts_them(known)
    if as_json:
        out.emit_json("next", [_json(job, slots, end, count, tz) for job, slots in found], now)
        return
    _show(found, now, end, tz, asked=jobs)
    if known.clock_waits and any(not job.trigger.follows_real_time for job, slots in found if slots):
        out.say("note: calendar jobs wait because the machine's clock was set; see `echopilot clock`")


def _known(start: datetime, now: datetime) -> _Known:
    """What the ledger knows; nothing where there is none."""
    try:
        ledger = sight.reading(sight.settings())
    except LedgerUnavailable as error:
        return _Known(absent=str(error))
    with contextlib.closing(ledger):
        standing = sight.standing(ledger.stint(), now)
        return _Known(ledger.pauses(start), ledger.generation().held, standing)


def _say_who_starts_them(known: _Known) -> None:
    """A note when nobody would start what is shown: moments alone look like a promise."""
    if known.standing is None:
        out.say(f"note: no scheduler is known to run, so nothing may start at these times: {known.absent}")
    else:
        sight.say_unless_led(known.standing, "nothing starts at these times")


def _coming(
    jobs: list[Job], start: datetime, end: datetime | None, count: int | None, pauses: Sequence[Pause]
) -> list[tuple[Job, list[Coming]]]:
    from echopilot_jobs.accounting.preview import coming

    most = count or (MOST if end else USUAL)
    mine = {job.name: [pause for pause in pauses if pause.job_name == job.name] for job in jobs}
    return [(job, coming(job, start, most, until=end, pauses=mine[job.name])) for job in jobs]


def _json(job: Job, slots: list[Coming], end: datetime | None, count: int | None, tz: str | None) -> dict[str, Any]:
    most = count or (MOST if end else USUAL)
    return {
        "job": job.name,
        "trigger": str(job.trigger),
        "enabled": job.enabled,
        "slots": [each.as_dict(tz) for each in slots],
        "complete": len(slots) < most,
    }


def _show(
    found: list[tuple[Job, list[Coming]]], now: datetime, end: datetime | None, tz: str | None, asked: Collection[str]
) -> None:
    by_time = sorted(((each.slot.due_at, job, each) for job, slots in found for each in slots), key=lambda one: one[0])
    rows = [[job.name, wall(due, tz), _away(each, now), _note(each)] for due, job, each in by_time]
    width = len(COLUMNS) if any(row[-1] for row in rows) else len(COLUMNS) - 1
    if rows:
        out.table(COLUMNS[:width], [row[:width] for row in rows])
    for job, slots in found:
        _note_of(job, slots, end, is_asked=job.name in asked)


def _note_of(job: Job, slots: list[Coming], end: datetime | None, *, is_asked: bool) -> None:
    """What must be known of a job to read its slots right."""
    rule = without_end(job.trigger)
    if isinstance(rule, Cron) and rule.takes_either_day:
        out.say(f"note: {job.name} ({rule}): {rule.in_words()}; either day is enough, as in cron, see --help for both")
    if not job.enabled:
        out.say(f"note: {job.name} is disabled; its slots pass unrun")
    elif isinstance(rule, OnRequest):  # it never has a slot: that is no news of one among many
        if is_asked:
            how = without_schedule(on_startup=job.on_startup)
            out.say(f"note: {job.name} has no slots: it runs {how}, with `echopilot run {job.name}`")
    elif not slots:
        out.say(f"note: {job.name} ({job.trigger}) has no {'slot up to then' if end else 'more slots'}")
    elif end is not None and len(slots) == MOST:
        out.say(f"note: {job.name} has more slots than the {MOST:,} shown")


def _away(each: Coming, now: datetime) -> str:
    return relative(each.slot.due_at, now).removeprefix("in ")


def _note(each: Coming) -> str:
    from echopilot_jobs.accounting.preview import PAUSED_WORDS

    jitter = each.planned - each.slot.due_at
    parts = [
        PAUSED_WORDS if each.paused else "",
        f"starts {jitter.total_seconds():.1f} s later, by jitter" if jitter else "",
        each.note,
    ]
    return "; ".join(filter(None, parts))
