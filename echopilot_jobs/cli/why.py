"""`echopilot why JOB TIME`: what became of one slot, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.cli.inputs import moment, zone
from echopilot_jobs.cli.zoned import shown
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import WrongState, unknown_name

if TYPE_CHECKING:
    from echopilot_jobs.jobs import Job


@click.command("why")
@click.argument("job", metavar="JOB", shell_complete=job_names)
@click.argument("time", metavar="TIME")
@click.option("--tz", "tz", type=zone, metavar="ZONE", help="The zone of TIME and of the answer; UTC by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(job: str, time: str, tz: str | None, as_json: bool) -> None:
    """Say what became of JOB's slot at TIME, and why.

    TIME is a moment such as '2026-03-01 08:00', '08:00' for the newest one, or 'yesterday 08:00'.

    Example: echopilot why ceo_brief '2026-03-01 08:00'
    """
    now, settings = sight.now(), sight.settings()
    at = moment("TIME", time, now, tz).replace(microsecond=0)
    defined = sight.registry(settings).get(job)
    ledger = sight.ledger(settings)
    seen = ledger.first_seen()
    if job not in seen:
        raise _stranger(job, defined, list({**seen, **sight.registry(settings)}))
    from echopilot_jobs.accounting.why import why

    answer = why(ledger, job, defined, at, now, lambda each: shown(each, tz))
    if as_json:
        body = {"job": job, "at": iso(at), "verdict": answer.verdict, "sentences": list(answer.sentences)}
        out.emit_json("why", {**body, **answer.facts}, now)
        return
    first, *rest = answer.sentences
    out.line(f"{job} at {shown(at, tz)}: {first}")
    for sentence in rest:
        out.line(f"  {sentence}")


def _stranger(name: str, defined: Job | None, known: list[str]) -> Exception:
    if defined is None:
        return unknown_name("job", name, known)
    return WrongState(
        f"no scheduler has taken up '{name}' yet, so nothing is recorded of it; start the stack with `bin/stack`, or "
        "restart the scheduler"
    )
