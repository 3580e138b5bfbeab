"""`echopilot why JOB [TIME]`: what became of one slot, and why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.cli.inputs import moment, zone
from echopilot_jobs.cli.zoned import shown
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import WrongState, unknown_name
from echopilot_jobs.spans import stamp
from echopilot_jobs.triggers import without_end

if TYPE_CHECKING:
    from echopilot_jobs.jobs import Job
    from echopilot_jobs.ledger import SqliteLedger


@click.command("why")
@click.argument("job", metavar="JOB", shell_complete=job_names)
@click.argument("time", nargs=-1, metavar="[TIME]")
@click.option("--tz", "tz", type=zone, metavar="ZONE", help="The zone of TIME and of the answer; UTC by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(job: str, time: tuple[str, ...], tz: str | None, as_json: bool) -> None:
    """Say what became of JOB's slot at TIME, and why; without TIME of the newest slot that has come due.

    TIME is a moment such as 2026-03-01 08:00, 08:00 for the newest one, yesterday 08:00, or 08:00 Europe/Riga.

    Example: echopilot why ceo_brief 2026-03-01 08:00
    """
    now, settings = sight.now(), sight.settings()
    said, tz = _with_zone(" ".join(time), tz)
    at = moment("TIME", said, now, tz).replace(microsecond=0) if time else None  # a mistake is told before all else
    registry = sight.registry(settings)
    defined, ledger = registry.get(job), sight.ledger(settings)
    seen = ledger.first_seen()
    if job not in seen:
        raise _stranger(job, defined, list({**seen, **registry}))
    from echopilot_jobs.accounting.why import why

    if at is None:
        at = _newest_slot(ledger, job, defined, now)
    answer = why(ledger, job, registry, at, now, lambda each: shown(each, tz))
    first, *rest = answer.sentences
    if defined and time and tz is None:
        rest = [*_in_its_own_zone(defined, said, at, now), *rest]
    if as_json:
        body = {"job": job, "at": iso(at), "verdict": answer.verdict, "sentences": [first, *rest]}
        out.emit_json("why", {**body, **answer.facts}, now)
        return
    out.sentence(f"{job} at {shown(at, tz)}: {first}")
    for sentence in rest:
        out.sentence(sentence, lead="  ")


def _in_its_own_zone(job: Job, said: str, at: datetime, now: datetime) -> Iterator[str]:
    """That the time *said* is no slot in UTC, and one on the wall of the job's zone: what to type then."""
    from echopilot_jobs.accounting.nearest import is_slot

    tz = getattr(without_end(job.trigger), "zone", "UTC")
    meant = moment("TIME", said, now, tz).replace(microsecond=0)
    if is_slot(job.trigger, meant) and not is_slot(job.trigger, at):
        there = f"{meant.astimezone(ZoneInfo(tz)):%Y-%m-%d %H:%M:%S}".removesuffix(":00")
        yield f"{said} in {tz} is {stamp(meant)}, which is one: `echopilot why {job.name} '{there}' {tz}`"


def _with_zone(time: str, tz: str | None) -> tuple[str, str | None]:
    """The time without the zone behind it, if there is one, and the zone it is in."""
    rest, _, last = time.rpartition(" ")
    if not rest or (last != "UTC" and "/" not in last):
        return time, tz
    if tz not in (None, last):
        raise click.UsageError(f"the time is in '{last}' and --tz says '{tz}'; give one of them")
    return rest, zone(last)


def _newest_slot(ledger: SqliteLedger, name: str, defined: Job | None, now: datetime) -> datetime:
    """The newest slot up to *now*; of a job that was removed, the last one it owed."""
    from echopilot_jobs.accounting.nearest import newest, newest_owed
    from echopilot_jobs.accounting.owed import owed_by

    owed = owed_by(ledger, name)
    rule = defined.trigger if defined else owed.newest
    if rule is None:
        raise WrongState(f"'{name}' is no longer defined; say which slot you mean, `echopilot why {name} TIME`")
    is_removed = (
        defined is None and name not in ledger.job_names()
    )  # in the ledger it still owes: nobody ended that yet
    found = newest_owed(owed) if is_removed else newest(rule, now)
    if found is None:
        raise WrongState(f"'{name}' ({rule}) has no slot up to now; its runs: `echopilot runs {name}`")
    out.say(f"the {'last' if is_removed else 'newest'} slot of {name} that has come due; for another one give its time")
    return found


def _stranger(name: str, defined: Job | None, known: list[str]) -> Exception:
    if defined is None:
        return unknown_name("job", name, known)
    return WrongState(
        f"no scheduler has taken up '{name}' yet, so nothing is recorded of it; start the stack with `bin/stack`, or "
        "restart the scheduler"
    )
