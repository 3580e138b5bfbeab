"""`echopilot resume JOB`: end a pause."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import WrongState
from echopilot_jobs.spans import stamped

if TYPE_CHECKING:
    from echopilot_jobs.jobs import Job
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.runs import Pause

REFUSED = 3


@click.command("resume")
@click.argument("jobs", nargs=-1, metavar="[JOB]...", shell_complete=job_names)
@click.option("--all", "everyone", is_flag=True, help="Every job that is paused.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(jobs: tuple[str, ...], everyone: bool, as_json: bool) -> int:
    """End a pause: JOB's slots run again from now on.

    Those that passed stay skipped; `echopilot backfill` runs them.

    Example: echopilot resume ceo_brief
    """
    now, settings = sight.now(), sight.settings()
    registry, ledger = sight.registry(settings), sight.ledger(settings)
    ended: list[Pause] = []
    refused: list[str] = []
    for name in _chosen(ledger, acting.chosen(registry, ledger, jobs, everyone), now, everyone):
        try:
            ended += ledger.resume(name, now, acting.actor())
        except WrongState as error:
            refused.append(str(error))
    if ended:
        acting.wake(ledger, settings, now, "nothing runs until one starts")
    if as_json:
        out.emit_json(
            "resumed", [{"job": each.job_name, "since": iso(each.since), "by": each.actor} for each in ended], now
        )
    for pause in ended if not as_json else ():
        out.line(_words(pause, registry.get(pause.job_name), now))
    for words in refused:
        out.say(f"error: {words}")
    if everyone and not ended and not as_json:
        out.say("no job is paused")
    return REFUSED if refused else 0


def _chosen(ledger: SqliteLedger, names: list[str], now: datetime, everyone: bool) -> list[str]:
    if not everyone:
        return names
    return sorted({pause.job_name for pause in ledger.pauses(now) if pause.covers(now)})


def _words(pause: Pause, job: Job | None, now: datetime) -> str:
    name = pause.job_name
    if job is None:
        return f"{name} is no longer paused"
    from echopilot_jobs.accounting.preview import MOST, coming

    passed = len(coming(job, pause.since, until=now))
    following = coming(job, now, 1)
    after = f"its next slot is {stamped(following[0].slot.due_at, now)}" if following else "it has no more slots"
    if not passed:
        return f"{name} is no longer paused; no slot came due meanwhile; {after}"
    count = f"more than {MOST:,}" if passed == MOST else f"{passed:,}"
    fill = f"`echopilot backfill {name} --from {iso(pause.since.replace(microsecond=0))} --to now`"
    return (
        f"{name} is no longer paused; {count} slot{'' if passed == 1 else 's'} passed unrun ({fill} runs them); {after}"
    )
