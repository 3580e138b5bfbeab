"""`echopilot show RUN`: one run with its evidence and what it printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.accounting.reasons import lag_words, outage_json, outage_words
from echopilot_jobs.accounting.waiting import WAITING, waiting_words
from echopilot_jobs.cli import out, rows, sight
from echopilot_jobs.cli.completion import runs
from echopilot_jobs.cli.inputs import run_number
from echopilot_jobs.clock import iso
from echopilot_jobs.healing import repeated_by
from echopilot_jobs.plain import plain_lines
from echopilot_jobs.runs import BAD_ENDS, retry_key
from echopilot_jobs.spans import relative, stamp, stamped

if TYPE_CHECKING:
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.runs import Event, Output, Run


@click.command("show")
@click.argument("run_id", type=run_number, metavar="RUN", shell_complete=runs)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run_id: int, as_json: bool) -> None:
    """Show one run: its facts, its moves, the files it kept and what it printed.

    Example: echopilot show 42
    """
    now, settings = sight.now(), sight.settings()
    ledger = sight.ledger(settings)
    run = ledger.run(run_id)
    output, events = ledger.output(run.id), ledger.events(run.id)
    outage = ledger.outage_of(run.id)
    waits = list(waiting_words(ledger, sight.registry(settings), run, now, stamp)) if run.state in WAITING else []
    if as_json:
        missed_in = outage_json(outage) if outage else None
        more = {"outage": missed_in, "waits": waits, **said_json(ledger, run)}
        out.emit_json("run", {**run_json(run, output, events), **more}, now)
        return
    missed = [("missed", outage_words(outage, stamp))] if outage else []
    at, kept = ledger.progress(run.id), ledger.artefacts(run.id)
    progress = [("progress", f"{at.words}, {relative(at.at, now)}")] if at is not None else []
    files = [("kept file", f"{each.path} ({each.bytes:,} bytes)") for each in kept]
    waiting = [("waits", words) for words in waits]
    out.facts([*run_facts(run, now), *repeats_words(ledger, run), *progress, *files, *missed, *waiting])
    out.line()
    out.heading("moves")
    for event in events:
        attempt = f", attempt {event.attempt}" if event.attempt else ""
        note = f"  {rows.brief(event.note)}" if event.note else ""
        out.line(f"  {stamped(event.at, now)}  {event.words}{attempt}{note}")
    show_output(output)
    if run.slot is not None:
        slot = stamp(run.slot.due_at)
        out.say(f"what became of its slot, and why: `echopilot why {run.job_name} {slot}`")
    if run.state in BAD_ENDS:
        out.say(f"try it again with `echopilot retry {run.id}`; its log lines: `echopilot logs {run.id}`")


def repeats_words(ledger: SqliteLedger, run: Run) -> Iterator[tuple[str, object]]:
    """Which run this one repeats, and which repeats it."""
    if (before := repeated_by(run)) is not None:
        yield "repeats", f"run {before}"
    if (after := ledger.requested(retry_key(run.id))) is not None:
        yield "repeated by", f"run {after.id}, {after.words}"


def said_json(ledger: SqliteLedger, run: Run) -> dict[str, Any]:
    """How far the run said it is, the files it kept, and its neighbours among retries; JSON types only."""
    at, after = ledger.progress(run.id), ledger.requested(retry_key(run.id))
    return {
        "progress": at.as_dict() if at else None,
        "artefacts": [each.as_dict() for each in ledger.artefacts(run.id)],
        "repeats": repeated_by(run),
        "repeated_by": after.id if after else None,
    }


def run_facts(run: Run, now: datetime) -> list[tuple[str, object]]:
    """Everything known of a run that has a value, as names and texts."""
    pairs: list[tuple[str, object]] = [
        ("run", f"{run.id} of {run.job_name}"),
        ("state", rows.state_words(run, now)),
        ("origin", f"{run.origin.value}{f', asked for by {run.actor}' if run.actor else ''}"),
        ("slot", stamped(run.slot.due_at, now) if run.slot else None),
        ("queued", stamped(run.claimed_at, now)),
        ("not before", stamped(run.not_before, now) if run.not_before else None),
        ("started", stamped(run.started_at, now) if run.started_at else None),
        ("began", lag_words(run)),
        ("ended", stamped(run.finished_at, now) if run.finished_at else None),
        ("took", run.took_words),
        ("attempt", run.attempt or None),  # one that never started has none
        ("to stop", f"asked by {run.cancel_wanted}" if run.cancel_wanted else None),
        ("exit status", run.exit_words),
        ("http status", run.http_status),
        ("parameters", json.dumps(dict(run.params)) if run.params else None),
        ("result", json.dumps(run.result) if run.result is not None else None),
        ("owner", run.owner),
        ("host", run.host),
        ("revision", run.code_revision),
        ("error", run.error),
    ]
    return [(name, value) for name, value in pairs if value is not None]


def run_json(run: Run, output: Output, events: list[Event]) -> dict[str, Any]:
    """The run with its output and moves, JSON types only."""
    moves = [{"at": iso(e.at), "state": e.state.value, "attempt": e.attempt, "note": e.note} for e in events]
    printed = {"head": output.head, "tail": output.tail, "dropped_bytes": output.dropped_bytes}
    return {**run.as_dict(), "events": moves, "output": printed}


def show_output(output: Output, last: int | None = None) -> None:
    """What the run printed, each line made plain; the *last* lines only, if asked."""
    lines = plain_lines(output.text)
    if not lines:
        return
    kept = lines[-last:] if last else lines
    out.line()
    out.heading("output" if len(kept) == len(lines) else f"output, last {len(kept)} of {len(lines):,} lines")
    for text in kept:
        out.line(f"  {text}")
