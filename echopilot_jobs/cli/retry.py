"""`echopilot retry RUN`: once more what a run was for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.completion import ended_runs
from echopilot_jobs.cli.following import exit_code, follow, tell_end
from echopilot_jobs.cli.inputs import run_number
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.runs import BAD_ENDS

if TYPE_CHECKING:
    from echopilot_jobs.runs import Run


@click.command("retry")
@click.argument("run_id", type=run_number, metavar="RUN", shell_complete=ended_runs)
@click.option("--force", is_flag=True, help="Also when it succeeded.")
@click.option("--wait", is_flag=True, help="Follow the new run to its end and exit as it did, like `run --wait`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run_id: int, force: bool, wait: bool, as_json: bool) -> int:
    """Queue one more run with the slot and the parameters of one that ended.

    Asked for again, it stays one: the new run can be retried in its turn. By itself a run that failed gets only the attempts
    that its job's `retries` gives it.

    Example: echopilot retry 42 --wait
    """
    from echopilot_jobs.healing import retry_run

    now, settings = sight.now(), sight.settings()
    registry, ledger = sight.registry(settings), sight.ledger(settings)
    before = ledger.run(run_id)
    acting.taken_up(registry, ledger, before.job_name)
    job = registry.switched_on(before.job_name)
    run, is_new = retry_run(ledger, before, now, acting.actor(), force=force)
    if run.is_open:
        acting.wake(ledger, settings, now, f"run {run.id} waits in the queue until one starts")
    if wait:
        out.say(_told(run, run_id, is_new=is_new))
        run = follow(ledger, run, None, SystemClock())
    if as_json:
        out.emit_json("run", run.as_dict(), now)
    elif wait:
        tell_end(run, ledger.output(run.id))
    else:
        out.line(_told(run, run_id, is_new=is_new))
    return exit_code(job, run) if wait else 0


def _told(run: Run, before: int, *, is_new: bool) -> str:
    if is_new:
        return f"run {run.id} of {run.job_name} repeats run {before}; follow it with `echopilot logs {run.id} -f`"
    then = "repeat that one with `echopilot retry" if run.state in BAD_ENDS else "see `echopilot show"
    return f"run {before} was repeated already, by run {run.id}: {run.words}; {then} {run.id}`"
