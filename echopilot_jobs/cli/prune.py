"""`echopilot prune --older-than LENGTH`: remove old history now, a batch at a time, and keep a record of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.asking import agreed, yes_option
from echopilot_jobs.cli.bars import bar
from echopilot_jobs.cli.inputs import length, refused, whole
from echopilot_jobs.clock import iso
from echopilot_jobs.spans import span, stamp

if TYPE_CHECKING:
    from echopilot_jobs.ledger import SqliteLedger

LEAST = timedelta(days=1)
USUAL_KEEP = 20
OTHERWISE = "give --yes to remove, or --dry-run to see what would go"


@click.command("prune")
@click.option(
    "--older-than", "age", type=length, required=True, metavar="LENGTH", help="What ended longer ago: 90d, 26w."
)
@click.option(
    "--keep",
    type=whole("a whole number from 1"),
    default=USUAL_KEEP,
    show_default=True,
    metavar="N",
    help="The newest N runs of each job stay, however old.",
)
@click.option("--dry-run", is_flag=True, help="Only say how much would go.")
@yes_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(age: timedelta, keep: int, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Remove history from before a moment.

    The scheduler removes what is older than 90 days by itself. What is removed here is recorded, and the audit begins after
    it. A Ctrl-C leaves whole what is left. `echopilot backup` first keeps a copy of everything.

    Example: echopilot prune --older-than 30d --dry-run
    """
    if age < LEAST:
        raise refused("--older-than", f"came {span(age)}; wanted: at least a day, for example 30d")
    from echopilot_jobs.healing import refuse_unless_clock_trusted

    now = sight.now()
    ledger, older_than = sight.ledger(sight.settings()), now - age
    runs, slots = ledger.prunable(older_than, keep)
    found = f"{runs:,} runs and {slots:,} skipped slots and gaps from before {stamp(older_than)}"
    removed = 0
    if not dry_run:
        refuse_unless_clock_trusted(ledger)
        if runs + slots and not (yes or agreed(f"remove {found}? There is no way back", OTHERWISE)):
            out.say("nothing was removed")
            return 1
        removed = _remove(ledger, older_than, keep, now, runs + slots)
    if as_json:
        facts = {"dry_run": dry_run, "older_than": iso(older_than), "keep": keep, "runs": runs, "slots": slots}
        out.emit_json("prune", {**facts, "removed": removed}, now)
    else:
        out.line(f"{found} would be removed; nothing was changed" if dry_run else f"removed {removed:,} rows: {found}")
    return 0


def _remove(ledger: SqliteLedger, older_than: datetime, keep: int, now: datetime, expected: int) -> int:
    from echopilot_jobs.healing import prune_to

    removed = 0
    with bar("removing old history") as advance:
        for done in prune_to(ledger, older_than, keep, now):
            removed += done.count
            if advance:
                advance(removed, max(removed, expected))
    return removed
