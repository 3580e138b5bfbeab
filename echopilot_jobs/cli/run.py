"""`echopilot run JOB`: queue a run by hand, and follow it if asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.inputs import seconds
from echopilot_jobs.cli.show import show_output
from echopilot_jobs.clock import Clock, SystemClock
from echopilot_jobs.errors import EchoPilotError, WrongState
from echopilot_jobs.runs import State
from echopilot_jobs.spans import span

if TYPE_CHECKING:
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.runs import Run

LOOK_EVERY_SECONDS = 0.2
LAST_LINES = 20


class StillOpen(EchoPilotError):
    """The run had not ended when the waiting did."""


@click.command("run")
@click.argument("job", metavar="JOB")
@click.option("--wait", is_flag=True, help="Follow the run to its end; exit 0 if it succeeded, else 1.")
@click.option("--timeout", type=seconds, metavar="SECONDS", help="With --wait: how long to follow.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter for this run; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(job: str, wait: bool, timeout: float | None, params: tuple[str, ...], as_json: bool) -> int:
    """Queue a run of JOB now."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    given = dict(map(_parameter, params))
    now, settings = sight.now(), sight.settings()
    _ = sight.registry(settings)[job]  # raises with the nearest name
    ledger = sight.ledger(settings)
    run = _request(ledger, job, given, now)
    leads = acting.wake(ledger, settings, now, f"run {run.id} waits in the queue until one starts")
    if wait:
        out.say(f"run {run.id} of {run.job_name} is queued" + ("" if leads else "; waiting for a scheduler"))
        run = follow(ledger, run, timeout, SystemClock())
    if as_json:
        out.emit_json("run", run.as_dict(), now)
    elif wait:
        _tell_end(ledger, run)
    else:
        out.line(f"run {run.id} of {run.job_name} is queued; follow it with `echopilot show {run.id}`")
    return 0 if not wait or run.state is State.SUCCEEDED else 1


def follow(
    ledger: SqliteLedger, run: Run, timeout: float | None, clock: Clock, pause: Callable[[float], Any] | None = None
) -> Run:
    """The run once it has ended. Raises `StillOpen` after *timeout* seconds; a Ctrl-C leaves the run alone."""
    rest = pause or threading.Event().wait
    started = clock.monotonic()
    seen = run.state
    while (run := ledger.run(run.id)).is_open:
        if run.state is not seen:
            seen = run.state
            out.say(f"run {run.id} is {seen.value}" + (f", attempt {run.attempt}" if run.attempt > 1 else ""))
        if timeout is not None and clock.monotonic() - started >= timeout:
            raise StillOpen(
                f"run {run.id} is still {run.state.value} after {span(timeout)}; it goes on, "
                f"look with `echopilot show {run.id}`"
            )
        rest(LOOK_EVERY_SECONDS)
    return run


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"--param '{text[:80]}'; wanted: NAME=VALUE, for example date=2026-03-01")
    return name, value


def _request(ledger: SqliteLedger, job: str, params: dict[str, str], now: datetime) -> Run:
    if job not in ledger.job_names():
        raise WrongState(
            f"no scheduler has taken up '{job}' yet; start the stack with `bin/stack`, or restart the scheduler"
        )
    run, _new = ledger.request_run(job, now, actor=acting.actor(), params=params or None)
    return run


def _tell_end(ledger: SqliteLedger, run: Run) -> None:
    took = f" after {span(run.duration_ms / 1000)}" if run.duration_ms is not None else ""
    out.line(f"run {run.id} of {run.job_name} {run.state.value}{took}")
    if isinstance(run.result, dict):
        out.facts([(name, value) for name, value in run.result.items() if value is not None])
    show_output(ledger.output(run.id), LAST_LINES)
    if run.error:
        out.say(f"error: {run.error}")
