"""`echopilot resume JOB`: end a pause."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import WrongState
from echopilot_jobs.spans import stamped

if TYPE_CHECKING:
    from echopilot_jobs.accounting.preview import Coming
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
    through = ledger.planned_through() if ended and not as_json else {}
    for pause in ended if not as_json else ():
        out.line(_words(pause, registry.get(pause.job_name), through[pause.job_name], now))
    for words in refused:
        out.say(f"error: {words}")
    if everyone and not ended and not as_json:
        out.say("no job is paused")
    return REFUSED if refused else 0


def _chosen(ledger: SqliteLedger, names: list[str], now: datetime, everyone: bool) -> list[str]:
    if not everyone:
        return names
    return sorted({pause.job_name for pause in ledger.pauses(now) if pause.covers(now)})


def _words(pause: Pause, job: Job | None, through: datetime, now: datetime) -> str:
    name = pause.job_name
    if job is None:
        return f"{name} is no longer paused"
    from echopilot_jobs.accounting.preview import coming

    following = coming(job, now, 1)
    after = f"its next slot is {stamped(following[0].slot.due_at, now)}" if following else "it has no more slots"
    passed = coming(job, pause.since, until=now)
    meanwhile = _passed_words(pause, passed, through, now) if passed else "no slot came due meanwhile"
    return f"{name} is no longer paused; {meanwhile}; {after}"


def _passed_words(pause: Pause, passed: Sequence[Coming], through: datetime, now: datetime) -> str:
    """How many slots passed, and what runs them: not before a scheduler has decided about all of them."""
    from echopilot_jobs.accounting.preview import MOST

    s, them = ("", "it") if len(passed) == 1 else ("s", "them")
    count = f"more than {MOST:,}" if len(passed) == MOST else f"{len(passed):,}"
    first, last = (iso(moment.replace(microsecond=0)) for moment in (pause.since, now))
    fill = f"`echopilot backfill {pause.job_name} --from {first} --to {last}` runs {them}"
    once = f"once a scheduler has planned {them}, " if passed[-1].slot.due_at > through else ""
    return f"{count} slot{s} passed unrun ({once}{fill})"
