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
from echopilot_jobs.triggers import OnRequest

if TYPE_CHECKING:
    from echopilot_jobs.accounting.preview import Coming
    from echopilot_jobs.holds import Pause
    from echopilot_jobs.jobs import Job, Registry
    from echopilot_jobs.ledger import SqliteLedger

REFUSED = 3
COLUMNS = (out.Column("JOB", gives_way=True), out.Column("MEANWHILE", gives_way=True), out.Column("NEXT SLOT"))


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
    elif ended and everyone:
        _show_all(ended, registry, now)
    through = ledger.planned_through()
    for pause in () if as_json or everyone else ended:
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


def _show_all(ended: list[Pause], registry: Registry, now: datetime) -> None:
    rows = []
    for pause in ended:
        job = registry.get(pause.job_name)
        passed, after = _around(pause, job, now) if job else ([], None)
        rows.append([pause.job_name, _count_words(passed), stamped(after, now) if after else None])
    out.table(COLUMNS, rows)
    out.line()
    jobs = "1 job is" if len(ended) == 1 else f"{len(ended):,} jobs are"
    out.line(f"{jobs} no longer paused; what passed stays skipped, and `echopilot backfill` runs it")


def _words(pause: Pause, job: Job | None, through: datetime, now: datetime) -> str:
    name = pause.job_name
    if job is None:
        return f"{name} is no longer paused"
    passed, after = _around(pause, job, now)
    fill = f" ({_fill_words(pause, passed, through, now)})" if passed else ""
    none = "it has no schedule" if isinstance(job.trigger, OnRequest) else "it has no more slots"
    then = f"its next slot is {stamped(after, now)}" if after else none
    return f"{name} is no longer paused; {_count_words(passed)}{fill}; {then}"


def _around(pause: Pause, job: Job, now: datetime) -> tuple[Sequence[Coming], datetime | None]:
    """The slots that passed in the pause, and the first one after it."""
    from echopilot_jobs.accounting.preview import coming

    following = coming(job, now, 1)
    return coming(job, pause.since, until=now), following[0].slot.due_at if following else None


def _count_words(passed: Sequence[Coming]) -> str:
    from echopilot_jobs.accounting.preview import MOST

    if not passed:
        return "no slot came due meanwhile"
    count = f"more than {MOST:,}" if len(passed) == MOST else f"{len(passed):,}"
    return f"{count} slot{'' if len(passed) == 1 else 's'} passed unrun"


def _fill_words(pause: Pause, passed: Sequence[Coming], through: datetime, now: datetime) -> str:
    """What runs them: not before a scheduler has decided about all of them."""
    them = "it" if len(passed) == 1 else "them"
    first, last = (iso(moment.replace(microsecond=0)) for moment in (pause.since, now))
    once = f"once a scheduler has planned {them}, " if passed[-1].slot.due_at > through else ""
    return f"{once}`echopilot backfill {pause.job_name} --from {first} --to {last}` runs {them}"
