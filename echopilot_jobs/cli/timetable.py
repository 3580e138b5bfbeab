"""`echopilot timetable`: the slots of the coming days, and what an edited definition changes in them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.cli.inputs import whole, zone
from echopilot_jobs.cli.zoned import wall
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.spans import ago

if TYPE_CHECKING:
    from echopilot_jobs.accounting.timetable import Day, Difference, Line
    from echopilot_jobs.jobs import Job, Registry
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.runs import Pause
    from echopilot_jobs.settings import Settings

MOST_DAYS = 366
USUAL_DAYS = 7
CHANGES_SHOWN = 20


@click.command("timetable")
@click.argument("jobs", nargs=-1, metavar="[JOB]...", shell_complete=job_names)
@click.option("--job", "more", multiple=True, metavar="NAME", help="The same as JOB.")
@click.option(
    "--days",
    type=whole(f"a whole number from 1 to {MOST_DAYS}", MOST_DAYS),
    default=USUAL_DAYS,
    show_default=True,
    metavar="N",
    help="How many days, today included.",
)
@click.option("--tz", "tz", type=zone, metavar="ZONE", help="Days and times of this zone; UTC by default.")
@click.option("--diff", is_flag=True, help="Before and after the newest change of a definition instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(jobs: tuple[str, ...], more: tuple[str, ...], days: int, tz: str | None, diff: bool, as_json: bool) -> None:
    """Show the slots of the coming days, day by day.

    With --diff instead what the newest change of a definition changes in them, whether or not the scheduler has taken it up:
    the first 20 each of those that are gone and new, and all that a jump of the clock moves or doubles.

    Example: echopilot timetable --days 7 --tz Europe/Riga
    """
    now, settings = sight.now(), sight.settings()
    registry = sight.as_written(settings) if diff else sight.registry(settings)
    chosen = [registry[name] for name in dict.fromkeys((*jobs, *more))]
    if diff:
        _differences(registry, chosen, now, days, tz, as_json)
        return
    from echopilot_jobs.accounting.timetable import timetable

    table = timetable(chosen or registry.values(), now, days, tz or "UTC", _pauses(settings, now))
    if as_json:
        out.emit_json("timetable", {"zone": tz or "UTC", "days": [_day_json(day, tz or "UTC") for day in table]}, now)
        return
    for number, day in enumerate(table):
        if number:
            out.line()
        _show_day(day, tz or "UTC", "" if number else ", from now on")


def _pauses(settings: Settings, now: datetime) -> list[Pause]:
    """Those that go on; none where there is no ledger."""
    try:
        ledger = sight.reading(settings)
    except LedgerUnavailable:
        return []
    with contextlib.closing(ledger):
        return ledger.pauses(now)


# -- day by day


def _day_json(day: Day, tz: str) -> dict[str, Any]:
    jump = f"{_offset(day.jump.before)} to {_offset(day.jump.after)}" if day.jump else None
    return {"date": day.day.isoformat(), "jump": jump, "slots": [line.as_dict(tz) for line in day.lines]}


def _show_day(day: Day, tz: str, part: str) -> None:
    out.heading(f"{day.day:%A %Y-%m-%d} {tz}{part}{_jump_words(day, tz)}")
    if not day.lines:
        out.line("  no slots")
    for line in day.lines:
        out.line(f"  {_line_words(line, tz)}")


def _jump_words(day: Day, tz: str) -> str:
    if day.jump is None:
        return ""
    at = day.jump.at
    before = (at + day.jump.before).replace(tzinfo=None)
    after = at.astimezone(ZoneInfo(tz))
    return f": clocks go {'forward' if day.jump.is_gap else 'back'} from {before:%H:%M} to {after:%H:%M}"


def _offset(offset: timedelta) -> str:
    seconds = int(offset.total_seconds())
    sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}"


def _line_words(line: Line, tz: str) -> str:
    note = f"  ({line.words})" if line.words else ""
    if line.count == 0:
        return f"{'--:--':<8}  {line.job_name}{note}"
    at = _clock(line.at, tz)
    if line.count == 1:
        return f"{at:<8}  {line.job_name}{note}"
    count = f"more than {line.count:,}" if line.open_end else f"{line.count:,}"
    return f"{at:<8}  {line.job_name}: {count} slots up to {_clock(line.last, tz)}{note}"


def _clock(moment: datetime, tz: str) -> str:
    return f"{moment.astimezone(ZoneInfo(tz)):%H:%M:%S}".removesuffix(":00")


# -- before and after


def _differences(
    registry: Registry, chosen: list[Job], now: datetime, days: int, tz: str | None, as_json: bool
) -> None:
    ledger = sight.ledger(sight.settings())
    with contextlib.closing(ledger):
        found = list(_changed(ledger, chosen or list(registry.values()), now, now + timedelta(days=days)))
    if as_json:
        out.emit_json("differences", [each.as_dict() for each in found], now)
        return
    if not found:
        out.say("no definition has changed" if not chosen else "its definition has never changed")
    for number, each in enumerate(found):
        if number:
            out.line()
        _show_difference(each, now, tz)


def _changed(ledger: SqliteLedger, jobs: list[Job], start: datetime, end: datetime) -> Iterator[Difference]:
    from echopilot_jobs.accounting.timetable import difference

    for job in jobs:
        kept = ledger.definitions(job.name)
        stored = [definition for _, definition in kept]
        present = job.definition()
        changed_at = kept[-1][0] if kept and stored[-1] == present else None
        known = [each for each in stored if each != present] if stored and stored[-1] == present else stored
        if not known or ("rule" not in known[-1] and known[-1].get("trigger") == present["trigger"]):
            continue  # unchanged, or kept by a release that did not keep rules
        try:
            yield replace(difference(job.name, known[-1], present, start, end), changed_at=changed_at)
        except ValueError as error:
            out.say(f"note: the definitions of {job.name} cannot be compared: {error}")


def _show_difference(found: Difference, now: datetime, tz: str | None) -> None:
    before, after = found.before.get("trigger"), found.after.get("trigger")
    out.heading(
        f"{found.job_name}: {before} -> {after}" if before != after else f"{found.job_name}: {after}, as before"
    )
    if found.changed_at:
        out.line(f"  changed {wall(found.changed_at, tz)} ({ago(found.changed_at, now)})")
    else:
        out.line("  changed in the jobs file; no scheduler has taken it up yet")
    for words in _changes(found.others):
        out.line(f"  {words}")
    out.line(f"  from {wall(found.start, tz)} to {wall(found.end, tz)}:")
    out.line(f"  gone: {len(found.gone):,}")
    _show_moments("-", found.gone, found, tz)
    out.line(f"  new: {len(found.new):,}")
    _show_moments("+", found.new, found, tz)
    out.line(f"  unchanged: {found.unchanged:,}")
    _show_moments("=", found.kept_noted, found, tz)


def _changes(others: Mapping[str, tuple[Any, Any]]) -> Iterator[str]:
    """What else changed, a line each; of a table the keys that differ and no others."""
    for name, (was, now) in others.items():
        if name == "action" and "does" in others:
            continue  # the same in short
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            differing = [key for key in {**was, **now} if was.get(key) != now.get(key)]
            yield from (f"{name}: {key}: {_plain(was.get(key))} -> {_plain(now.get(key))}" for key in differing)
        else:
            yield f"{name}: {_plain(was)} -> {_plain(now)}"


def _plain(value: object) -> str:
    """A value as a jobs file would have it: whole numbers without a fraction, nothing in a word."""
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _show_moments(sign: str, moments: tuple[datetime, ...], found: Difference, tz: str | None) -> None:
    """The first ones, and all that a jump of the clock touches: those are what nobody works out in the head."""
    shown = [due for number, due in enumerate(moments) if number < CHANGES_SHOWN or due in found.notes]
    for due in shown:
        note = f"  ({found.notes[due]})" if due in found.notes else ""
        out.line(f"    {sign} {wall(due, tz)}{note}")
    if len(moments) > len(shown):
        out.line(f"    and {len(moments) - len(shown):,} more")
