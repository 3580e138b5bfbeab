"""`echopilot timetable`: the slots of the coming days, and what an edited definition changes in them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.cli.inputs import whole, zone
from echopilot_jobs.cli.zoned import wall
from echopilot_jobs.errors import LedgerUnavailable, unknown_name
from echopilot_jobs.spans import ago

if TYPE_CHECKING:
    from echopilot_jobs.accounting.timetable import Day, Difference, Line
    from echopilot_jobs.definitions import InForce
    from echopilot_jobs.holds import Pause
    from echopilot_jobs.jobs import Job, Registry
    from echopilot_jobs.ledger import SqliteLedger
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

    With --diff instead what the newest change of a definition changes in them, whether or not the scheduler has taken it up,
    of a job that was added or removed all of them: the first 20 each of those that are gone and new, and all that a jump of
    the clock moves or doubles.

    Example: echopilot timetable --days 7 --tz Europe/Riga
    """
    now, settings = sight.now(), sight.settings()
    names = list(dict.fromkeys((*jobs, *more)))
    if diff:
        _differences(sight.as_written(settings), names, now, days, tz, as_json)
        return
    registry = sight.registry(settings)
    chosen = [registry[name] for name in names]
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


def _differences(found: InForce, names: list[str], now: datetime, days: int, tz: str | None, as_json: bool) -> None:
    with contextlib.closing(sight.ledger(sight.settings())) as ledger:
        chosen = _chosen(ledger, found, names)
        changed = list(_changed(ledger, found.registry, chosen, now, now + timedelta(days=days)))
    if as_json:
        out.emit_json("differences", [each.as_dict() for each in changed], now)
        return
    if not changed:
        out.say("no definition has changed" if not names else "its definition has never changed")
    for number, each in enumerate(changed):
        if number:
            out.line()
        _show_difference(each, now, tz)


def _chosen(ledger: SqliteLedger, found: InForce, names: list[str]) -> list[str]:
    """The jobs that were named, or all there are and were. Raises for a name that nobody ever knew."""
    registry, seen = found.registry, ledger.first_seen()
    for name in names:
        if name not in registry and name not in seen:
            raise unknown_name("job", name, list({**registry, **seen}))
    gone = sorted(set(seen) - set(registry))
    if found.problems:  # what the file comes to is not known: those alone that a scheduler took leave of
        gone = sorted(set(gone) - set(ledger.job_names()))
    return names or [*registry, *gone]


class _Edit(NamedTuple):
    """The newest change of a definition, and when it came into force; None as in `Difference`."""

    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    changed_at: datetime | None


def _changed(
    ledger: SqliteLedger, registry: Registry, names: list[str], start: datetime, end: datetime
) -> Iterator[Difference]:
    from echopilot_jobs.accounting.timetable import difference

    for name in names:
        job = registry.get(name)
        if (edit := _newest_edit(ledger, job) if job else _removal(ledger, name)) is None:
            continue
        try:
            found = difference(name, edit.before, edit.after, start, end)
            yield replace(found, changed_at=edit.changed_at)
        except ValueError as error:
            out.say(f"note: the definitions of {name} cannot be compared: {error}")


def _newest_edit(ledger: SqliteLedger, job: Job) -> _Edit | None:
    """How the definition of *job* came to be what it is; None for one that is what it was at first."""
    kept = ledger.definitions(job.name)
    stored = [definition for _, definition in kept]
    present = job.definition()
    if not stored:
        return _Edit(None, present, None)
    is_taken = stored[-1] == present
    changed_at = kept[-1][0] if is_taken else None
    known = [each for each in stored if each != present] if is_taken else stored
    if not known:  # those of the very first set are no news
        return _Edit(None, present, kept[0][0]) if kept[0][0] > min(ledger.first_seen().values()) else None
    if "rule" not in known[-1] and known[-1].get("trigger") == present["trigger"]:
        return None  # unchanged, or kept by a release that did not keep rules
    return _Edit(known[-1], present, changed_at)


def _removal(ledger: SqliteLedger, name: str) -> _Edit | None:
    """That a job is no longer defined, and since when it owes nothing."""
    kept = ledger.definitions(name)
    if not kept:
        return None
    ends = [each.until for each in ledger.obligations(name)]
    return _Edit(kept[-1][1], None, max(ends, default=None) if name not in ledger.job_names() else None)


def _show_difference(found: Difference, now: datetime, tz: str | None) -> None:
    was, rule = ((each or {}).get("trigger") for each in (found.before, found.after))
    if found.before is None:
        how, words = "added", f"new, {rule}"
    elif found.after is None:
        how, words = "removed", f"removed; it was {was}"
    else:
        how, words = "changed", f"{was} -> {rule}" if was != rule else f"{rule}, as before"
    out.heading(f"{found.job_name}: {words}")
    if found.changed_at:
        out.line(f"  {how} {wall(found.changed_at, tz)} ({ago(found.changed_at, now)})")
    else:
        where = "from" if how == "removed" else "in" if how == "changed" else "to"
        out.line(f"  {how} {where} the jobs file; no scheduler has taken it up yet")
    for change in _changes(found.others):
        out.line(f"  {change}")
    out.line(f"  from {wall(found.start, tz)} to {wall(found.end, tz)}:")
    _show_parts(found, tz)


def _show_parts(found: Difference, tz: str | None) -> None:
    """What goes, what comes and what stays; of a job that is new or gone only the one there can be."""
    if found.before is not None:
        out.line(f"  gone: {len(found.gone):,}")
        _show_moments("-", found.gone, found, tz)
    if found.after is not None:
        out.line(f"  new: {len(found.new):,}")
        _show_moments("+", found.new, found, tz)
    if found.before is not None and found.after is not None:
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
