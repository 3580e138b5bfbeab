"""`echopilot cancel RUN`: end a run that has not started, stop one that runs; `--job JOB`: end all that wait."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.asking import agreed, yes_option
from echopilot_jobs.cli.completion import job_names, open_runs
from echopilot_jobs.cli.inputs import run_number
from echopilot_jobs.errors import unknown_name
from echopilot_jobs.runs import State

WAITING = frozenset({State.QUEUED, State.RETRY_WAIT})
PAGE = 200

if TYPE_CHECKING:
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.settings import Settings


@click.command("cancel")
@click.argument("run_id", type=run_number, metavar="RUN", required=False, shell_complete=open_runs)
@click.option("--job", shell_complete=job_names, metavar="JOB", help="All runs of JOB that wait instead of one run.")
@yes_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run_id: int | None, job: str | None, yes: bool, as_json: bool) -> int:
    """End a run that waits, stop one that runs.

    One that runs is asked to stop and killed after four seconds if it does not. With --job instead all runs of a job that
    wait, in the queue or to retry, are ended after a question; those that run go on.

    Example: echopilot cancel 12
    """
    if (run_id is None) == (job is None):
        raise click.UsageError("missing argument 'RUN', or --job JOB" if job is None else "give RUN or --job, not both")
    now, settings = sight.now(), sight.settings()
    ledger = sight.ledger(settings)
    if job is not None:
        return _cancel_waiting(ledger, settings, job, now, yes=yes, as_json=as_json)
    _cancel_one(ledger, settings, run_id or 0, now, as_json=as_json)
    return 0


def _cancel_one(ledger: SqliteLedger, settings: Settings, run_id: int, now: datetime, *, as_json: bool) -> None:
    run = ledger.cancel(run_id, now, acting.actor())
    runs = run.state is State.RUNNING
    acting.wake(
        ledger, settings, now, f"run {run.id} is not running any more either" if runs else "nothing else starts"
    )
    if as_json:
        out.emit_json("run", run.as_dict(), now)
    elif runs:
        out.line(
            f"run {run.id} of {run.job_name} is asked to stop and is killed after four seconds if it does not; "
            f"see `echopilot show {run.id}`"
        )
    else:
        out.line(f"run {run.id} of {run.job_name} is cancelled; it had not {'ended' if run.attempt else 'started'}")


def _cancel_waiting(
    ledger: SqliteLedger, settings: Settings, job: str, now: datetime, *, yes: bool, as_json: bool
) -> int:
    if job not in (names := ledger.job_names()):
        raise unknown_name("job", job, names)
    waiting = _numbers(ledger, job, WAITING)
    if waiting and not (yes or _may_cancel(job, len(waiting))):
        out.say("nothing was cancelled")
        return 1
    ended = ledger.cancel_waiting(job, now, acting.actor())
    running = _numbers(ledger, job, frozenset({State.RUNNING}))
    if ended:
        acting.wake(ledger, settings, now, "nothing else starts")
    if as_json:
        out.emit_json("cancelled", {"job": job, "runs": ended, "running": running}, now)
    elif ended:
        out.line(f"{_waiting(job, len(ended))} {'is' if len(ended) == 1 else 'are'} cancelled{_left_alone(running)}")
    else:
        out.say(f"no run of {job} waits; nothing was cancelled{_left_alone(running)}")
    return 0


def _numbers(ledger: SqliteLedger, job: str, states: frozenset[State]) -> list[int]:
    """All runs of *job* in *states*, page after page, newest first."""
    found: list[int] = []
    while page := ledger.runs(job_name=job, states=states, before_id=found[-1] if found else None, limit=PAGE):
        found += [run.id for run in page]
    return found


def _may_cancel(job: str, count: int) -> bool:
    runs = _waiting(job, count)
    return agreed(f"cancel {runs}?", f"give --yes to cancel {runs}")


def _waiting(job: str, count: int) -> str:
    return f"{count:,} waiting run{'' if count == 1 else 's'} of {job}"


def _left_alone(running: list[int]) -> str:
    if not running:
        return ""
    words = f"run {running[0]} goes on" if len(running) == 1 else f"{len(running):,} that run go on"
    return f"; {words}, stop one with `echopilot cancel {running[0]}`"
