"""`echopilot runs`: what ran, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import out, rows, sight
from echopilot_jobs.cli.inputs import whole
from echopilot_jobs.errors import unknown_name
from echopilot_jobs.runs import State

if TYPE_CHECKING:
    from echopilot_jobs.ledger import SqliteLedger

MOST = 200


@click.command("runs")
@click.option("--job", metavar="NAME", help="Only runs of this job.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="Only runs in this state; may be given more than once.",
)
@click.option(
    "--limit",
    type=whole(f"a whole number from 1 to {MOST}", MOST),
    default=20,
    show_default=True,
    help="At most so many.",
)
@click.option(
    "--before", type=whole("a run's number, for example 12"), metavar="RUN", help="Only runs older than this one."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(job: str | None, states: tuple[str, ...], limit: int, before: int | None, as_json: bool) -> None:
    """List runs, newest first.

    Example: echopilot runs --job ceo_brief --state failed
    """
    now = sight.now()
    ledger = sight.ledger(sight.settings())
    if job is not None:
        _known(ledger, job)
    wanted = frozenset(map(State, states)) or None
    found = ledger.runs(job_name=job, states=wanted, before_id=before, limit=limit)
    if as_json:
        out.emit_json("runs", [run.as_dict() for run in found], now)
    elif found:
        out.table(rows.RUN_COLUMNS, [rows.run_row(run, now) for run in found])
    else:
        out.say("no such runs")


def _known(ledger: SqliteLedger, job: str) -> None:
    """History outlives definitions: every job the ledger ever saw may be asked for."""
    seen = ledger.first_seen()
    if job not in seen:
        raise unknown_name("job", job, list(seen))
