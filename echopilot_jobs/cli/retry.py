"""`echopilot retry RUN`: once more what a run was for."""

from __future__ import annotations

import click

from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.inputs import whole


@click.command("retry")
@click.argument("run_id", type=whole("a run's number, for example 12"), metavar="RUN")
@click.option("--force", is_flag=True, help="Also when it succeeded.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run_id: int, force: bool, as_json: bool) -> None:
    """Queue one more run with the slot and the parameters of one that ended.

    Asked twice, it is the same run. Without a word from you, a failed run is only tried again as its job's retries say.

    Example: echopilot retry 42
    """
    from echopilot_jobs.healing import retry_run

    now, settings = sight.now(), sight.settings()
    registry, ledger = sight.registry(settings), sight.ledger(settings)
    before = ledger.run(run_id)
    acting.taken_up(registry, ledger, before.job_name)
    run, is_new = retry_run(ledger, before, now, acting.actor(), force=force)
    if is_new:
        acting.wake(ledger, settings, now, f"run {run.id} waits in the queue until one starts")
    if as_json:
        out.emit_json("run", run.as_dict(), now)
    elif is_new:
        out.line(f"run {run.id} of {run.job_name} repeats run {run_id}; follow it with `echopilot show {run.id}`")
    else:
        told = f"run {run.id} of {run.job_name} repeats run {run_id} already and is {run.state.value}"
        out.line(f"{told}; see `echopilot show {run.id}`")
