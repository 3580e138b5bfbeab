"""`echopilot replay FILE`: what the jobs would have done on a machine that was as often dark as a log tells."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.files import file_name
from echopilot_jobs.clock import iso
from echopilot_jobs.outages import IN_WORDS
from echopilot_jobs.spans import span, stamp

if TYPE_CHECKING:
    from echopilot_jobs.simulator.rehearsal import Fate
    from echopilot_jobs.simulator.replay import Replay

COLUMNS = (
    out.Column("SLOT"),
    out.Column("OUTCOME"),
    out.Column("WHEN OR WHY"),
    out.Column("MISSED IN", gives_way=True),
)


def _log(value: str) -> Path:
    """A reader of the name of a file that can be read."""
    path = file_name(value)
    if not path.exists():
        what = "and there is no such file"
    elif path.is_dir():
        what = "which is a folder"
    elif not os.access(path, os.R_OK):
        what = "which may not be read"
    else:
        return path
    raise click.BadParameter(f"came '{value[:80]}', {what}; wanted: a log of one JSON object a line")


@click.command("replay")
@click.argument("file", metavar="FILE", type=_log)
@click.option("--job", "job", default="ceo_brief", show_default=True, metavar="JOB", help="Whose slots to account for.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: Path, job: str, as_json: bool) -> int:
    """Play the outages that FILE tells of again, with the jobs defined now, and account for every slot of one job.

    FILE is a log of one JSON object a line, each with its time in "ts", for example one probe a minute. Where it is silent
    for three times its usual distance, the machine was dark. Nothing real is run, and no ledger of yours is touched. Exit
    code 1 when a slot is lost.

    Example: echopilot replay outages.log --job ceo_brief
    """
    from echopilot_jobs.simulator.replay import moments_of, replay

    now = sight.now()
    registry = sight.registry(sight.settings())
    registry[job]  # an unknown name is said before anything is played
    found = replay(moments_of(file, now), registry, job)
    if as_json:
        out.emit_json("replay", {"job": job, **_facts(found), "slots": [_json(fate) for fate in found.fates]}, now)
    else:
        _show(found, job)
    return int(any(fate.what == "lost" for fate in found.fates))


def _show(found: Replay, job: str) -> None:
    total = found.ended_at - found.began_at
    dark = f"{found.outages} outage{'' if found.outages == 1 else 's'}"
    out.line(f"{iso(found.began_at)} to {iso(found.ended_at)}: {dark}, up {found.alive / total:.1%} of the time")
    out.table(COLUMNS, [[iso(fate.slot_at), fate.what, _when_or_why(fate), _missed_in(fate)] for fate in found.fates])
    counts = Counter(fate.what for fate in found.fates)
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    out.line(f"{len(found.fates)} slots of {job}: {told or 'none'}")


def _when_or_why(fate: Fate) -> str:
    if fate.run_at is None:
        return fate.reason or "no row"
    late = fate.run_at - fate.slot_at
    return f"{iso(fate.run_at)}, {span(late)} late" if fate.what == "caught up" else iso(fate.run_at)


def _missed_in(fate: Fate) -> str:
    outage = fate.outage
    if outage is None:
        return ""
    return f"{stamp(outage.since)}, {span(outage.until - outage.since)}: {IN_WORDS[outage.cause]}"


def _facts(found: Replay) -> dict[str, Any]:
    return {
        "began_at": iso(found.began_at),
        "ended_at": iso(found.ended_at),
        "alive_s": round(found.alive.total_seconds()),
        "outages": found.outages,
    }


def _json(fate: Fate) -> dict[str, Any]:
    outage = fate.outage
    return {
        "slot_at": iso(fate.slot_at),
        "outcome": fate.what,
        "run_at": iso(fate.run_at) if fate.run_at else None,
        "state": fate.state.value if fate.state else None,
        "reason": fate.reason,
        "outage": {"since": iso(outage.since), "until": iso(outage.until), "cause": outage.cause.value}
        if outage
        else None,
    }
