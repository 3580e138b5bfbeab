"""What the verbs `brief` and `report` share: run the job that makes one, or take the newest, and read what it made."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.artefacts import named
from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.following import follow
from echopilot_jobs.cli.leading import NobodyLeads, refuse_without_stack
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.runs import State

if TYPE_CHECKING:
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.runs import Run
    from echopilot_jobs.settings import Settings


INSTEAD = "or give --last to show the newest one"


class NothingMade(EchoPilotError):
    """The job made nothing that could be shown."""


def made_by(job_name: str, *, last: bool, params: dict[str, Any], now: datetime) -> tuple[Run, dict[str, Any], Path]:
    """The run, its artefact's data, and the page beside it. Raises `NothingMade`."""
    settings = sight.settings()
    registry, ledger = sight.registry(settings), sight.ledger(settings)
    acting.taken_up(registry, ledger, job_name)
    if not last:
        _ = registry.switched_on(job_name)
    run = _newest(ledger, job_name) if last else _made_now(ledger, settings, job_name, params, now)
    if run.state is not State.SUCCEEDED:
        why = run.error or "no reason given"
        raise NothingMade(f"run {run.id} of {job_name} {run.words}: {why}; see `echopilot show {run.id}`")
    return run, *_read(settings, run)


def _made_now(ledger: SqliteLedger, settings: Settings, job_name: str, params: dict[str, Any], now: datetime) -> Run:
    refuse_without_stack(ledger, settings, now, INSTEAD)
    run, _ = ledger.request_run(job_name, now, actor=acting.actor(), params=params or None)
    leads = acting.wake(ledger, settings, now, f"run {run.id} waits in the queue until one starts")
    out.say(f"run {run.id} of {job_name} is queued" + ("" if leads else "; waiting for a scheduler"))
    try:
        return follow(ledger, run, None, SystemClock(), tell=out.say)
    except NobodyLeads as error:
        if not _is_taken_back(ledger, run.id, sight.now()):
            raise NobodyLeads(f"{error}, {INSTEAD}") from None
        taken_back = f"no scheduler leads, so run {run.id} is cancelled again"
        raise NobodyLeads(f"{taken_back}; {sight.START_SCHEDULER}, {INSTEAD}") from None


def _is_taken_back(ledger: SqliteLedger, run_id: int, now: datetime) -> bool:
    """Whether the run is cancelled: it was asked for to be shown now. One that has begun is left to the next scheduler."""
    if ledger.run(run_id).state is State.RUNNING:
        return False
    return ledger.cancel(run_id, now, acting.actor()).state is State.CANCELLED


def _newest(ledger: SqliteLedger, job_name: str) -> Run:
    found = ledger.runs(job_name=job_name, states=frozenset({State.SUCCEEDED}), limit=1)
    if not found:
        raise NothingMade(f"no run of {job_name} has succeeded yet; leave --last out to make one now")
    return found[0]


def _read(settings: Settings, run: Run) -> tuple[dict[str, Any], Path]:
    paths = [named(run, kind) for kind in ("json", "html")]
    if None in paths:  # the built-in job may have been redefined
        raise NothingMade(
            f"run {run.id} of {run.job_name} succeeded and made no page and data to show; see `echopilot show {run.id}`"
        )
    json_path, html_path = (settings.home / str(path) for path in paths)
    try:
        return json.loads(json_path.read_bytes()), html_path
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no JSON any more"
        raise NothingMade(f"what run {run.id} made cannot be read: '{json_path}': {why}; make a new one") from None


def show_end(run: Run, page: Path) -> None:
    """Where the whole of it is."""
    out.line()
    out.line(f"run {run.id}; the page: {page}")


last_option = click.option("--last", is_flag=True, help="Show the newest one instead of making one.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print what was made, as JSON.")
