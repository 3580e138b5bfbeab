"""`echopilot cancel RUN`: end a run that has not started, stop one that runs."""

from __future__ import annotations

import click

from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.completion import open_runs
from echopilot_jobs.cli.inputs import whole
from echopilot_jobs.runs import State


@click.command("cancel")
@click.argument("run_id", type=whole("a run's number, for example 12"), metavar="RUN", shell_complete=open_runs)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run_id: int, as_json: bool) -> None:
    """End a run that waits, stop one that runs.

    One that runs is asked to stop and killed after ten seconds if it does not.

    Example: echopilot cancel 12
    """
    now, settings = sight.now(), sight.settings()
    ledger = sight.ledger(settings)
    run = ledger.cancel(run_id, now, acting.actor())
    runs = run.state is State.RUNNING
    acting.wake(
        ledger, settings, now, f"run {run.id} is not running any more either" if runs else "nothing else starts"
    )
    if as_json:
        out.emit_json("run", run.as_dict(), now)
    elif runs:
        out.line(
            f"run {run.id} of {run.job_name} is asked to stop and is killed after ten seconds if it does not; "
            f"see `echopilot show {run.id}`"
        )
    else:
        out.line(f"run {run.id} of {run.job_name} is cancelled; it had not {'ended' if run.attempt else 'started'}")
