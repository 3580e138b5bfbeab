"""`echopilot clock`: whether calendar jobs wait because the machine's clock was set, and to trust it again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.inputs import OneOf
from echopilot_jobs.clock import iso
from echopilot_jobs.outages import CLOCK_HOLD_FOR
from echopilot_jobs.spans import span, stamp, stamped

if TYPE_CHECKING:
    from echopilot_jobs.runs import Generation


@click.command("clock")
@click.argument("order", required=False, type=OneOf(["trust"], "ORDER"), metavar="[trust]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(order: str | None, as_json: bool) -> None:
    """Show whether jobs wait for the clock, or trust it.

    After the clock was set by more than three hours calendar jobs wait until it was stable for ten minutes, or somebody
    says that it is right.

    Example: echopilot clock trust
    """
    now, settings = sight.now(), sight.settings()
    ledger = sight.ledger(settings)
    if order == "trust":
        ledger.trust_clock()
        acting.wake(ledger, settings, now, "calendar jobs go on when one starts")
    generation = ledger.generation()
    if as_json:
        out.emit_json("clock", _json(generation), now)
        return
    out.facts([("now", stamp(now)), ("last set", _set(generation, now)), ("calendar jobs", _words(generation))])


def _json(generation: Generation) -> dict[str, Any]:
    return {
        "generation": generation.number,
        "began_at": iso(generation.began_at) if generation.number else None,
        "step_s": generation.step.total_seconds(),
        "held": generation.held,
        "released": generation.released,
    }


def _set(generation: Generation, now: datetime) -> str:
    if not generation.number:
        return "never, as far as this ledger knows"
    seconds = generation.step.total_seconds()
    far = f"{'back' if seconds < 0 else 'forward'} by {span(abs(seconds))}"
    return f"{far}, to {stamped(generation.began_at, now)}; clock generation {generation.number}"


def _words(generation: Generation) -> str:
    if generation.released:
        return "somebody said to trust the clock; they go on with the scheduler's next look"
    if generation.held:
        return (
            f"wait until the clock was stable for {span(CLOCK_HOLD_FOR)}; if the time above is right, say so with "
            "`echopilot clock trust`"
        )
    return "are planned"
