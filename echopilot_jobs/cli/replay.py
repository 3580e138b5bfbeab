"""`echopilot replay FILE`: what the jobs would have done on a machine that was as often dark as a log tells."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.bars import bar, telling
from echopilot_jobs.cli.files import file_name
from echopilot_jobs.clock import iso
from echopilot_jobs.outages import IN_WORDS
from echopilot_jobs.runs import State
from echopilot_jobs.spans import span, stamp

if TYPE_CHECKING:
    from echopilot_jobs.simulator.rehearsal import Dark, Fate
    from echopilot_jobs.simulator.replay import Replay

COLUMNS = (
    out.Column("SLOT"),
    out.Column("OUTCOME"),
    out.Column("WHEN OR WHY"),
    out.Column("MISSED IN", gives_way=True),
)
ENDS = {State.ABANDONED: "; an outage cut it off", State.RUNNING: "; it still runs when the record ends"}


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
    code 1 when a slot is lost: it has neither a run nor a reason, which would be a bug of ours. A run that waits when the
    record ends, or that an outage cut off, is told as such and is not lost.

    All jobs live, since they share places and pacing; --job only chooses whose slots are told. Jobs due at least every ten
    minutes live around outages only. A week with two outages and the built-in jobs takes some seconds, and every outage and
    every job that is due often adds to it.

    Example: echopilot replay outages.log --job ceo_brief
    """
    from echopilot_jobs.simulator.replay import moments_of, replay

    now = sight.now()
    registry = sight.registry(sight.settings())
    registry[job]  # an unknown name is said before anything is played
    what = f"replay of {file.name}"
    with bar(what) as advance:
        found = replay(moments_of(file, now), registry, job, telling(advance, what))
    if taken := sum(fate.is_taken for fate in found.fates):
        out.say(f"note: {taken:,} slots away from outages are taken to have run; {job} was lived around outages only")
    if as_json:
        slots = [_json(fate, found.dark) for fate in found.fates]
        out.emit_json("replay", {"job": job, **_facts(found), "slots": slots}, now)
    else:
        _show(found, job)
    return int(any(fate.what == "lost" for fate in found.fates))


def _show(found: Replay, job: str) -> None:
    from echopilot_jobs.simulator.rehearsal import outcome_words

    total = found.ended_at - found.began_at
    dark = _counted(len(found.dark), "outage")
    out.line(f"{iso(found.began_at)} to {iso(found.ended_at)}: {dark}, up {found.alive / total:.1%} of the time")
    out.table(COLUMNS, [_row(fate, found.dark) for fate in found.fates])
    counts = Counter(outcome_words(fate.outcome) for fate in found.fates)
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    out.line(f"{_counted(len(found.fates), 'slot')} of {job}: {told or 'none'}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _row(fate: Fate, dark: Sequence[Dark]) -> list[object]:
    from echopilot_jobs.simulator.rehearsal import outcome_words

    return [iso(fate.slot_at), outcome_words(fate.outcome), _when(fate) or _why(fate), _missed_in(fate, dark)]


def _when(fate: Fate) -> str:
    """When its run began, how late, and what cut it short; empty when none did."""
    if fate.run_at is None:
        return ""
    late = "" if fate.what == "ran" else f", {span(fate.run_at - fate.slot_at)} late"
    return f"{iso(fate.run_at)}{late}{ENDS.get(fate.state, '') if fate.state else ''}"


def _why(fate: Fate) -> str | None:
    """Why no run of it began; None when one did."""
    if fate.what == "lost":
        return "neither a run nor a reason is in the ledger"
    if fate.what != "waiting":
        return fate.reason
    if fate.state is None and fate.planned_at:
        return f"its jitter has it begin {iso(fate.planned_at)}, after the record ends"
    what = f"its run of {iso(fate.first_run_at)} was cut off, the repetition is" if fate.first_run_at else "its run is"
    held = ", for its backlog waits for a person" if fate.is_held else ""
    return f"{what} queued and has not begun when the record ends{held}"


def _missed_in(fate: Fate, dark: Sequence[Dark]) -> str:
    missed = fate.missed_in(dark)
    if missed is None or fate.outage is None:
        return ""
    return f"{stamp(missed[0])}, {span(missed[1] - missed[0])}: {IN_WORDS[fate.outage.cause]}"


def _facts(found: Replay) -> dict[str, Any]:
    return {
        "began_at": iso(found.began_at),
        "ended_at": iso(found.ended_at),
        "alive_s": round(found.alive.total_seconds()),
        "outages": len(found.dark),
    }


def _json(fate: Fate, dark: Sequence[Dark]) -> dict[str, Any]:
    missed = fate.missed_in(dark)
    return {
        "slot_at": iso(fate.slot_at),
        "outcome": fate.what,
        "run_at": iso(fate.run_at) if fate.run_at else None,
        "state": fate.state.value if fate.state else None,
        "first_run_at": iso(fate.first_run_at) if fate.first_run_at else None,
        "reason": _why(fate),
        "is_taken": fate.is_taken,
        "outage": {"since": iso(missed[0]), "until": iso(missed[1]), "cause": fate.outage.cause.value}
        if missed and fate.outage
        else None,
    }
