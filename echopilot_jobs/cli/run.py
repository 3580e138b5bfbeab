"""`echopilot run JOB`: queue a run by hand, and follow it if asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.completion import job_names, parameters
from echopilot_jobs.cli.following import Told, exit_code, follow, tell_end
from echopilot_jobs.cli.inputs import seconds
from echopilot_jobs.clock import SystemClock

if TYPE_CHECKING:
    from echopilot_jobs.jobs import Job
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.logreading import Follower
    from echopilot_jobs.runs import Run
    from echopilot_jobs.settings import Settings

KEY_MOST = 200


def _key(value: str) -> str:
    if not re.fullmatch(rf"[\x21-\x7e]{{1,{KEY_MOST}}}", value):
        raise click.BadParameter(
            f"came '{value[:80]}' ({len(value)} characters); wanted: 1 to {KEY_MOST} printable ASCII, no spaces"
        )
    return value


@click.command("run")
@click.argument("job", metavar="JOB", shell_complete=job_names)
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    shell_complete=parameters,
    help="A parameter for this run; repeatable.",
)
@click.option("--wait", is_flag=True, help="Follow the run to its end and exit as it did.")
@click.option("--logs", is_flag=True, help="As --wait, and show meanwhile what the run logs and prints.")
@click.option(
    "--timeout",
    type=seconds,
    metavar="SECONDS",
    help="With --wait or --logs: follow no longer than this, then exit with 1; the run goes on.",
)
@click.option(
    "--key",
    type=_key,
    metavar="KEY",
    help="Your own name for this request: whoever asks with it again gets the same run and queues no second one. With other "
    "parameters it is refused.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    job: str, params: tuple[str, ...], wait: bool, logs: bool, timeout: float | None, key: str | None, as_json: bool
) -> int:
    """Queue a run of JOB now.

    One run by hand of each job waits at a time: as long as one does, another is refused.

    With --wait or --logs the exit code is the run's: 0 when it succeeded or skipped itself; of a command that failed its own
    exit status, when that is 1 to 125; otherwise 1. So a 3 may be the command's own: then standard output tells how the run
    ended, in a line or, with --json, in a document with `state` and `exit_status`. The 3 of a refusal, and of 30 seconds in
    which no scheduler led, comes with an `error:` instead. A Ctrl-C ends the following (exit code 130), not the run.

    Example: echopilot run daily_report -p date=2026-03-01 --wait
    """
    following = wait or logs
    if timeout is not None and not following:
        raise click.UsageError("--timeout goes with --wait or --logs")
    now, settings = sight.now(), sight.settings()
    registry = sight.registry(settings)
    found = registry.switched_on(job)  # raises with the nearest name
    given = _given(found, params)
    ledger = sight.ledger(settings)
    acting.taken_up(registry, ledger, job)
    log = _listening(settings) if logs else None
    run, is_new = _request(ledger, found, given, key, now)
    leads = (
        acting.wake(ledger, settings, now, f"run {run.id} waits in the queue until one starts") if run.is_open else True
    )
    if not following:
        _tell_queued(run, None if is_new else key, now, as_json=as_json)
        return 0
    told = Told(out.say if as_json else out.line)  # with --json standard output is for the document alone
    if run.is_open:
        first = f"run {run.id} of {job} is {run.words}" + ("" if leads else "; waiting for a scheduler")
        printed = told.printed if logs else None
        run = follow(ledger, run, timeout, SystemClock(), log=log, tell=told, first=first, printed=printed)
    if as_json:
        out.emit_json("run", run.as_dict(), now)
    else:
        tell_end(run, told.left_of(ledger.output(run.id)))
    return exit_code(found, run)


def _listening(settings: Settings) -> Follower:
    """From before the run is asked for, so that nothing it says is missed."""
    from echopilot_jobs.logreading import SCHEDULER_LOG, Follower

    log = Follower(settings.logs_dir / SCHEDULER_LOG)
    click.get_current_context().call_on_close(log.close)
    return log


def _given(job: Job, params: Iterable[str]) -> dict[str, Any]:
    """The parameters that were given, as the job understands them. Raises with every mistake there is."""
    from echopilot_jobs.jobs import values_of

    given = dict(map(_parameter, params))
    values = values_of(job.name, job.params, given)
    return {name: values[name] for name in given}


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"--param '{text[:80]}'; wanted: NAME=VALUE, for example date=2026-03-01")
    return name, value


def _request(ledger: SqliteLedger, job: Job, given: dict[str, Any], key: str | None, now: datetime) -> tuple[Run, bool]:
    request_key = f"cli:{job.name}:{key}" if key else None
    return ledger.request_run(job.name, now, request_key=request_key, actor=acting.actor(), params=given or None)


def _tell_queued(run: Run, known_by: str | None, now: datetime, *, as_json: bool) -> None:
    if as_json:
        out.emit_json("run", run.as_dict(), now)
        return
    known = f" (asked for before with the key '{known_by}')" if known_by else ""
    look = f"follow it with `echopilot logs {run.id} -f`" if run.is_open else f"see `echopilot show {run.id}`"
    out.line(f"run {run.id} of {run.job_name} {run.stands}{known}; {look}")
