"""`echopilot backfill JOB --from T --to T`: queue runs for slots of the past that have none."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.asking import agreed, yes_option
from echopilot_jobs.cli.bars import bar
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.cli.following import LOOK_EVERY_SECONDS
from echopilot_jobs.cli.inputs import past_moment, refused, zone
from echopilot_jobs.cli.leading import Patience
from echopilot_jobs.cli.zoned import wall
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.spans import until_words

if TYPE_CHECKING:
    from echopilot_jobs.accounting.backfilling import Choice
    from echopilot_jobs.clock import Clock
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.runs import Run

BAD_MOST = 10
ASKED_ABOVE = 100
COLUMNS = (out.Column("SLOT"), out.Column("BEFORE", gives_way=True), out.Column("NOW"))


@click.command("backfill")
@click.argument("job", metavar="JOB", shell_complete=job_names)
@click.option(
    "--from", "start", required=True, metavar="TIME", help="The first moment, for example '2026-03-01 08:00'."
)
@click.option(
    "--to", "end", required=True, metavar="TIME", help="The last moment, itself included; 'now' at the latest."
)
@click.option("--tz", "tz", type=zone, metavar="ZONE", help="The zone of the times; UTC by default.")
@click.option("--dry-run", is_flag=True, help="Only show what would happen, slot by slot.")
@yes_option
@click.option(
    "--wait", is_flag=True, help="Follow the runs to their ends; exit 0 if all succeeded or skipped themselves, else 1."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(job: str, start: str, end: str, tz: str | None, dry_run: bool, yes: bool, wait: bool, as_json: bool) -> int:
    """Queue runs for past slots of JOB that have none.

    At most 1,000 slots, between two moments; the runs start one after another when nothing else waits. A slot that has a run,
    however it ended, is left alone. More than 100 are asked about first; `echopilot cancel --job JOB` takes back what still
    waits. A disabled job is refused.

    Example: echopilot backfill ceo_brief --from 2026-03-01 --to now --dry-run
    """
    if wait and dry_run:
        raise click.UsageError("--wait has nothing to wait for with --dry-run; give one of them")
    now, settings = sight.now(), sight.settings()
    first, last = past_moment("--from", start, now, tz), past_moment("--to", end, now, tz)
    if first > last:
        raise refused("--from", f"came {wall(first, tz)}, which is later than --to, {wall(last, tz)}")
    registry = sight.registry(settings)
    defined = registry.switched_on(job)
    ledger = sight.ledger(settings)
    acting.taken_up(registry, ledger, job)
    from echopilot_jobs.accounting.backfilling import TooMany, choices

    try:
        found = choices(ledger, defined, first, last)
    except TooMany as error:
        raise click.UsageError(str(error)) from None
    slots = [each.slot for each in found if each.is_queued and not dry_run]
    if slots and not (yes or _may_queue(job, len(slots))):
        out.say("nothing was queued")
        return 1
    queued = ledger.backfill(job, slots, acting.actor(), now) if slots else []
    if queued:
        acting.wake(ledger, settings, now, "the runs wait in the queue until one starts")
    if not found and not as_json:
        out.say(f"{job} has no slots there; nothing {'would be' if dry_run else 'was'} queued")
    elif dry_run and not as_json:
        _show_choices(found, tz)
    elif not as_json:
        _show_queued(ledger, job, found, queued, now)
        out.flush()  # before what is said of their ends, also in a pipe
    if wait and queued:
        out.say("a Ctrl-C ends the waiting, not the runs")
        queued = all_ended(ledger, queued, SystemClock())
    if as_json:
        out.emit_json("backfill", _json(found, queued, dry_run=dry_run), now)
    if not wait:
        return 0
    return _tell_ends(queued)


def _may_queue(job: str, count: int) -> bool:
    """Whether so many may be queued; a person is asked about many."""
    if count <= ASKED_ABOVE:
        return True
    otherwise = f"give --yes to queue {count:,} runs of {job}, or --dry-run to see their slots"
    return agreed(f"queue {count:,} runs of {job}?", otherwise)


def all_ended(
    ledger: SqliteLedger, runs: Sequence[Run], clock: Clock, pause: Callable[[float], Any] | None = None
) -> list[Run]:
    """The runs once all of them have ended; on a terminal a bar shows how many have.

    Raises `NobodyLeads` when no scheduler leads and none begins to in time.
    """
    rest, patience = pause or threading.Event().wait, Patience(ledger, clock)
    ended: dict[int, Run] = {}
    with bar("running the slots") as advance:
        while len(ended) < len(runs):
            looked = (ledger.run(run.id) for run in runs if run.id not in ended)
            ended |= {run.id: run for run in looked if not run.is_open}
            if advance:
                advance(len(ended), len(runs))
            if len(ended) < len(runs):
                patience.check(next(run for run in runs if run.id not in ended))
                rest(LOOK_EVERY_SECONDS)
    return [ended[run.id] for run in runs]


def _tell_ends(runs: Sequence[Run]) -> int:
    ends = Counter(run.words for run in runs)
    if runs:
        out.say(f"all have ended: {', '.join(f'{count:,} {state}' for state, count in ends.items())}")
    for run in [run for run in runs if not run.did_its_duty][:BAD_MOST]:
        out.say(f"error: run {run.id} {run.words}; see `echopilot show {run.id}`")
    return 0 if all(run.did_its_duty for run in runs) else 1


def _json(found: list[Choice], queued: list[Run], *, dry_run: bool) -> dict[str, Any]:
    runs = {run.slot.due_at: run.id for run in queued if run.slot}
    slots = [{**each.as_dict(), "run": each.run_id or runs.get(each.slot.due_at)} for each in found]
    return {"dry_run": dry_run, "queued": len(queued), "slots": slots}


def _show_choices(found: list[Choice], tz: str | None) -> None:
    rows = [[wall(each.slot.due_at, tz), _before(each), "queue" if each.is_queued else "leave"] for each in found]
    out.table(COLUMNS, rows)
    out.line()
    wanted = sum(each.is_queued for each in found)
    out.line(f"{wanted:,} of {len(found):,} slots would be queued; nothing was changed")


def _before(each: Choice) -> str:
    if each.run_id is not None:
        return f"run {each.run_id} {each.state}"
    return f"skipped ({each.skipped.value})" if each.skipped else "nothing recorded"


def _show_queued(ledger: SqliteLedger, job: str, found: list[Choice], queued: list[Run], now: datetime) -> None:
    left = Counter(each.state for each in found if not each.is_queued)
    kept = (
        f"; {left.total():,} had runs already ({', '.join(f'{n} {state}' for state, n in left.items())})"
        if left
        else ""
    )
    if not queued:
        out.say(f"nothing was queued{kept}")
        return
    runs = f"run {queued[0].id}" if len(queued) == 1 else f"runs {queued[0].id} to {queued[-1].id}"
    out.line(f"{len(queued):,} of {len(found):,} slots of {job} are queued as {runs}{kept}")
    if any(run.is_open for run in queued):
        out.say(f"take back all runs of {job} that still wait with `echopilot cancel --job {job}`")
    for pause in ledger.pauses(now, job):
        if pause.covers(now):
            out.say(f"note: {job} is paused {until_words(pause.until)}, and so long they wait")
