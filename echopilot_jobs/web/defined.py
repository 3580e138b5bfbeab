"""A job's definition as a person reads it: a name and a sentence for everything that is not as it always is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from echopilot_jobs.jobs import Command, Job
from echopilot_jobs.planner import CATCH_UP_MOST, WAITING_MOST
from echopilot_jobs.spans import span
from echopilot_jobs.triggers import Cron, OnRequest, without_end
from echopilot_jobs.web.words import counted

OVERLAPS = {
    "skip": "a slot that comes due while a run is open is skipped",
    "queue_one": "a slot that comes due while a run is open waits; a second one is skipped",
    "queue_all": f"slots that come due while a run is open wait, up to {WAITING_MOST}",
    "cancel_previous": "a new slot ends the run before",
}


def definition_words(job: Job, group_limits: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What the job is and how it behaves, as (name, sentence)."""
    yield "When", _when(job)
    if isinstance(rule := without_end(job.trigger), Cron):
        yield "In words", f"{rule.in_words()} ({rule.zone})"
    yield "Does", _does(job)
    if job.params:
        yield "Parameters", ", ".join(job.params)
    yield "Timeout", f"an attempt is ended after {span(job.timeout)}"
    yield "Retries", _retries(job)
    if not isinstance(job.trigger, OnRequest):
        yield "Missed slots", _catch_up(job)
        yield "Overlap", OVERLAPS.get(job.overlap, f"up to {counted(job.max_instances, 'run')} at a time")
    if job.idempotent:
        yield "Safe to repeat", "yes: a run that was cut off runs again"
    yield from _more(job, group_limits)


def _when(job: Job) -> str:
    spread = f", each up to {span(job.jitter)} later" if job.jitter else ""
    return f"{job.trigger}{spread}{'; also whenever the scheduler starts' if job.on_startup else ''}"


def _does(job: Job) -> str:
    if isinstance(job.action, Command):
        argv = job.action.argv
        line = argv[0] if job.action.shell else shlex.join(argv)
        return f"{'shell' if job.action.shell else 'command'} `{line}`" + (f" in `{job.cwd}`" if job.cwd else "")
    return str(job.action)


def _retries(job: Job) -> str:
    if not job.retries:
        return "none"
    only = f", only after {', '.join(job.retry_on)}" if job.retry_on else ""
    return f"up to {counted(job.retries, 'more attempt')}{only}"


def _catch_up(job: Job) -> str:
    if job.catch_up == "none":
        return "none is run"
    which = "the newest one runs" if job.catch_up == "latest" else f"the newest {CATCH_UP_MOST} run"
    return f"{which}, up to {span(job.window)} late"


def _more(job: Job, group_limits: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    if job.group:
        limit = group_limits.get(job.group)
        yield "Group", job.group + (f", at most {counted(limit, 'run')} at a time" if limit else "")
    if job.priority:
        yield "Priority", f"{job.priority}; the highest of those that wait starts first"
    if job.env:
        yield "Environment", ", ".join(job.env)  # names alone: a value may be half a secret
    if job.ping:
        yield "Watched", "an outside watcher is told of every start and end"
    if job.tags:
        yield "Tags", ", ".join(job.tags)
    if job.declared_in:
        yield "Defined in", job.declared_in
