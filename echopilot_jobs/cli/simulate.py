"""`echopilot simulate`: your jobs through virtual days with outages, before they meet real ones."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.accounting.preview import notes_at
from echopilot_jobs.cli import inputs, out, sight
from echopilot_jobs.cli.bars import bar, telling
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.clock import iso
from echopilot_jobs.jobs import Registry
from echopilot_jobs.records import record
from echopilot_jobs.spans import span, stamp

if TYPE_CHECKING:
    from echopilot_jobs.simulator.rehearsal import Account, Dark, Fate

DAYS_MOST, OUTAGES_MOST, SHOWN_MOST, NAMED_MOST = 366, 500, 30, 5
NEAR, SHORT = timedelta(minutes=10), timedelta(seconds=1)  # before an outage that is to be lived; a short run, `1s`
OUTAGE_WANTED = "FROM..TO, for example '2026-03-02 07:30..09:10' or 'tomorrow 07:30..2h'"
COLUMNS = (out.Column("JOB"), out.Column("SLOTS", right=True), out.Column("BECAME", gives_way=True))
ODD_COLUMNS = (
    out.Column("SLOT"),
    out.Column("JOB"),
    out.Column("OUTCOME"),
    out.Column("MISSED IN", gives_way=True),
)


@click.command("simulate")
@click.option(
    "--days",
    type=inputs.whole("days from 1 to 366", DAYS_MOST),
    default=7,
    show_default=True,
    metavar="N",
    help="How many days.",
)
@click.option("--from", "begin", metavar="TIME", help="Where they begin; the coming midnight UTC when left out.")
@click.option(
    "--outage", "typed", multiple=True, metavar="FROM..TO", help="The machine is dark; repeatable. TO may be a length."
)
@click.option(
    "--outages",
    "count",
    type=inputs.whole(f"a number from 1 to {OUTAGES_MOST}", OUTAGES_MOST),
    metavar="N",
    help="N outages at random times, half a minute to half a day long.",
)
@click.option(
    "--seed", type=inputs.whole("a whole number"), default=1, show_default=True, metavar="N", help="Which random ones."
)
@click.option(
    "--job", "names", multiple=True, metavar="JOB", shell_complete=job_names, help="Only this job; repeatable."
)
@click.option(
    "--jobs", "file", type=click.Path(path_type=Path), metavar="FILE", help="The jobs of FILE, not those in force."
)
@click.option(
    "--takes",
    type=inputs.length,
    default="20s",
    show_default=True,
    metavar="LENGTH",
    help="How long a run takes.",
)
@click.option(
    "--fail",
    "failing",
    multiple=True,
    metavar="JOB",
    shell_complete=job_names,
    help="Every attempt of this job fails; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")  # fmt: skip
def command(
    days: int,
    begin: str | None,
    typed: tuple[str, ...],
    count: int | None,
    seed: int,
    names: tuple[str, ...],
    file: Path | None,
    takes: timedelta,
    failing: tuple[str, ...],
    as_json: bool,
) -> int:
    """Live through days that have not come yet: what would run, what an outage would cost, and why.

    The real planner, scheduler and ledger under a virtual clock; nothing is run and no ledger of yours is touched.
    Exit code 1 when a slot is lost, which would be a bug of ours.

    Example: echopilot simulate --days 14 --outage "tomorrow 07:30..2h"
    """
    from echopilot_jobs.simulator.rehearsal import apart, random_outages, rehearse

    now = sight.now()
    registry = _chosen(_registry(file), names)
    for name in failing:
        _ = registry[name]
    began_at = _beginning(begin, now)
    wanted = began_at + timedelta(days=days)
    asked = list(_within([_typed(text, now) for text in typed], began_at, wanted))
    lives = _Lives(registry, days, len(typed) + (count or 0), takes, failing)
    ended_at = lives.until(began_at)
    if beyond := next((each for each in asked if each[1] > ended_at), None):
        raise inputs.refused("--outage", lives.too_short_for(beyond, began_at))
    if ended_at < wanted:
        lived = f"only {span(ended_at - began_at)} of {_counted(days, 'day')} are lived"
        out.say(f"note: so many slots that {lived}; choose with --job")
    dark = apart([*asked, *random_outages(count or 0, seed, began_at, ended_at)])
    what = f"{span(ended_at - began_at)} of virtual time"
    with bar(what) as advance:
        tell = telling(advance, what)
        accounts = rehearse(registry, dark, began_at, ended_at, takes=takes, failing=failing, tell=tell)
    if taken := [each.job.name for each in accounts if each.taken]:
        out.say(f"note: {', '.join(taken)}: lived around outages only; the slots between are taken to have run")
    if as_json:
        out.emit_json(
            "simulation", {"takes_s": takes.total_seconds(), **_json(accounts, dark, began_at, ended_at)}, now
        )
    else:
        _show(accounts, dark, began_at, ended_at, _assumed(takes, failing))
    return int(any(account.counts["lost"] for account in accounts))


def _registry(file: Path | None) -> Registry:
    settings = sight.settings()
    if file is None:
        return sight.registry(settings)
    from echopilot_jobs import builtin
    from echopilot_jobs.definitions.sheet import NotRead, content_of
    from echopilot_jobs.jobsfile import compose, read

    try:
        content = content_of(file)
    except FileNotFoundError:
        raise inputs.refused("--jobs", f"there is no file '{file}'; wanted: a jobs file") from None
    except NotRead as error:
        raise inputs.refused("--jobs", f"came '{file}': {error}") from None
    return compose(builtin.document(settings), read(content, file.name), environ=os.environ).registry


def _chosen(registry: Registry, names: Sequence[str]) -> Registry:
    """The jobs that are simulated: all, or those asked for by name."""
    return Registry([registry[name] for name in names], registry.group_limits) if names else registry


def _beginning(typed: str | None, now: datetime) -> datetime:
    if typed is not None:
        return inputs.moment("--from", typed, now, prefer="future").replace(microsecond=0)
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _typed(text: str, now: datetime) -> Dark:
    left, dots, right = text.partition("..")
    if not dots or not left.strip() or not right.strip():
        raise inputs.refused("--outage", f"came '{text[:80]}'; wanted: {OUTAGE_WANTED}")
    start = inputs.moment("--outage", left, now, prefer="future")
    return start, _end(right.strip(), start, now)


def _within(asked: Iterable[Dark], began_at: datetime, ended_at: datetime) -> Iterator[Dark]:
    for start, end in asked:
        if not began_at <= start < end <= ended_at:
            raise inputs.refused(
                "--outage",
                f"came {stamp(start)} to {stamp(end)}; wanted: a beginning before its end, both within the days simulated, "
                f"{stamp(began_at)} to {stamp(ended_at)}",
            )
        yield start.replace(microsecond=0), end.replace(microsecond=0)


@record(frozen=True)
class _Lives:
    """How far the jobs asked for can be lived through in a bearable time, and what to do where that is not far enough."""

    registry: Registry
    days: int
    outages: int
    takes: timedelta
    failing: tuple[str, ...]

    def until(self, began_at: datetime, takes: timedelta | None = None) -> datetime:
        """Where lives that begin at *began_at* end: after all days, or earlier."""
        from echopilot_jobs.simulator.rehearsal import affordable

        return affordable(
            self.registry,
            began_at,
            began_at + timedelta(days=self.days),
            outages=self.outages,
            takes=takes or self.takes,
            failing=self.failing,
        )

    def too_short_for(self, dark: Dark, began_at: datetime) -> str:
        """That *dark* lies beyond what can be lived, which jobs that is for, and only what really helps."""
        crowd = self._crowd(began_at)
        more = f" and {len(crowd) - NAMED_MOST:,} more" if len(crowd) > NAMED_MOST else ""
        ways = " or ".join(self._ways(dark, began_at, crowd)) or "give a shorter outage"
        lived = f"only the time to {stamp(self.until(began_at))} of {_counted(self.days, 'day')} can be lived"
        return (
            f"came {stamp(dark[0])} to {stamp(dark[1])}; with so many slots of {', '.join(crowd[:NAMED_MOST])}{more} "
            f"{lived}; {ways}"
        )

    def _crowd(self, began_at: datetime) -> list[str]:
        from echopilot_jobs.simulator.rehearsal import crowding

        return crowding(
            self.registry,
            began_at,
            began_at + timedelta(days=self.days),
            outages=self.outages,
            takes=self.takes,
            failing=self.failing,
        )

    def _ways(self, dark: Dark, began_at: datetime, crowd: Sequence[str]) -> Iterator[str]:
        start, end = dark
        if len(crowd) < len(self.registry):
            yield "name other jobs with --job"
        near = (start - NEAR).replace(second=0, microsecond=0)
        if self.outages == 1 and began_at < near and self.until(near) >= end:  # others would lie before it
            yield f"begin near it with --from '{near:%Y-%m-%d %H:%M}'"
        if self.until(began_at, SHORT) >= end:
            yield "give --takes 1s if their runs are that short"


def _end(text: str, start: datetime, now: datetime) -> datetime:
    """A length from the start, or a moment; a time of day alone is the next one after the start."""
    with contextlib.suppress(click.BadParameter):
        return start + inputs.length(text)
    return (
        inputs.moment("--outage", text, start, prefer="future")
        if ":" in text[:6]
        else inputs.moment("--outage", text, now)
    )


def _assumed(takes: timedelta, failing: Sequence[str]) -> str:
    """What was taken for granted of the runs; it decides what overlaps."""
    ends = f"every attempt of {', '.join(failing)} fails, all others succeed" if failing else "every run succeeds"
    return f"assumed: a run takes {span(takes)} (--takes); {ends}"


def _show(
    accounts: Sequence[Account], dark: Sequence[Dark], began_at: datetime, ended_at: datetime, assumed: str
) -> None:
    lost = sum((end - start for start, end in dark), timedelta(0))
    up = 1 - lost / (ended_at - began_at)
    out.line(f"{stamp(began_at)} to {stamp(ended_at)}: {_counted(len(dark), 'outage')}, up {up:.1%} of the time")
    out.line(assumed)
    for start, end in dark[:SHOWN_MOST]:
        out.line(f"  dark {stamp(start)} to {stamp(end)}, {span(end - start)}")
    out.line()
    out.table(COLUMNS, [[each.job.name, f"{each.slots:,}", _became(each.counts)] for each in accounts])
    odd = sorted(
        ((name, found) for name, each in ((each.job.name, each.odd) for each in accounts) for found in _alike(each)),
        key=lambda pair: pair[1][0].slot_at,
    )
    if odd:
        out.line()
        out.heading("slots that did not simply run")
        out.table(ODD_COLUMNS, [_odd_row(name, found, dark) for name, found in odd[:SHOWN_MOST]])
        if len(odd) > SHOWN_MOST:
            out.line(f"… and {len(odd) - SHOWN_MOST:,} more lines; `--json` lists every slot, `--job` chooses")
    _show_jumps(accounts, began_at, ended_at)


def _show_jumps(accounts: Sequence[Account], began_at: datetime, ended_at: datetime) -> None:
    notes = [
        (at, each.job.name, note)
        for each in accounts
        for at, note in notes_at(each.job.trigger, began_at, ended_at).items()
    ]
    if notes:
        out.line()
        out.heading("jumps of the clocks within these days")
        for at, name, note in sorted(notes, key=lambda found: found[0]):
            out.line(f"  {stamp(at)} {name}: {note}")


def _became(counts: Counter[str]) -> str:
    from echopilot_jobs.simulator.rehearsal import outcome_words

    told = [f"{count:,} {outcome_words(what)}" for what, count in counts.most_common()]
    return ", ".join(told) or "no slot in these days"


def _alike(fates: Sequence[Fate]) -> Iterator[list[Fate]]:
    """Neighbours that were skipped for one reason in one outage, together; every other one by itself."""
    for key, found in groupby(fates, key=lambda fate: (fate.reason, fate.outage)):
        if key[0] is None:
            yield from ([fate] for fate in found)
        else:
            yield [*found]


def _odd_row(name: str, fates: Sequence[Fate], dark: Sequence[Dark]) -> list[object]:
    first, last, missed = fates[0], fates[-1], None
    if spell := first.missed_in(dark):
        missed = f"{stamp(spell[0])}, {span(spell[1] - spell[0])}"
    if len(fates) == 1:
        return [stamp(first.slot_at), name, _outcome(first), missed]
    return [f"{stamp(first.slot_at)} to {stamp(last.slot_at)}", name, f"{len(fates):,} {_outcome(first)}", missed]


def _outcome(fate: Fate) -> str:
    if fate.reason is not None:
        return f"skipped: {fate.reason}"
    late = f", {span(fate.run_at - fate.slot_at)} late" if fate.run_at and fate.what != "ran" else ""
    return f"{fate.what}{late}" + (f", {fate.state.words}" if fate.state and fate.outcome != fate.what else "")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _json(accounts: Sequence[Account], dark: Sequence[Dark], began_at: datetime, ended_at: datetime) -> dict[str, Any]:
    return {
        "began_at": iso(began_at),
        "ended_at": iso(ended_at),
        "outages": [{"since": iso(start), "until": iso(end)} for start, end in dark],
        "jobs": [
            {
                "job": each.job.name,
                "slots": each.slots,
                "counts": dict(each.counts),
                "taken_as_run": each.taken,
                "odd": [_fate_json(fate, dark) for fate in each.odd],
            }
            for each in accounts
        ],
    }


def _fate_json(fate: Fate, dark: Sequence[Dark]) -> dict[str, Any]:
    missed = fate.missed_in(dark)
    return {
        "slot_at": iso(fate.slot_at),
        "outcome": fate.what,
        "run_at": iso(fate.run_at) if fate.run_at else None,
        "state": fate.state.value if fate.state else None,
        "reason": fate.reason,
        "late_s": (fate.run_at - fate.slot_at).total_seconds() if fate.run_at else None,
        "outage": {"since": iso(missed[0]), "until": iso(missed[1])} if missed else None,
    }
