"""`echopilot runs`: what ran, newest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import out, rows, sight
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.cli.inputs import OneOf, past_moment, refused, whole
from echopilot_jobs.errors import unknown_name
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record
from echopilot_jobs.runs import BAD_ENDS, OPEN_STATES, Origin, State
from echopilot_jobs.spans import stamp

if TYPE_CHECKING:
    from echopilot_jobs.ledger import SqliteReading
    from echopilot_jobs.runs import Run

MOST = 200


@click.command("runs")
@click.argument("of", metavar="[JOB]", required=False, shell_complete=job_names)
@click.option("--job", shell_complete=job_names, metavar="NAME", help="Only runs of this job; the same as JOB.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=OneOf(state.value for state in State),
    help="Only runs in this state (retry_wait: waiting to retry); may be given more than once.",
)
@click.option(
    "--limit",
    type=whole(f"a whole number from 1 to {MOST}", MOST),
    default=20,
    show_default=True,
    help="At most so many.",
)
@click.option(
    "--before", type=whole("a run's number, for example 12"), metavar="RUN", help="Only runs older than this one."
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    type=OneOf(origin.value for origin in Origin),
    help="Only runs of this origin; may be given more than once.",
)
@click.option("--since", metavar="TIME", help="Only those queued later: '2h ago', 'yesterday 08:00'.")
@click.option("--until", metavar="TIME", help="Only those queued earlier.")
@click.option("--failed", is_flag=True, help="Only bad ends: failed, timed out, abandoned.")
@click.option("--open", "is_open", is_flag=True, help="Only what has not ended: queued, running, waiting to retry.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    of: str | None,
    job: str | None,
    states: tuple[str, ...],
    limit: int,
    before: int | None,
    origins: tuple[str, ...],
    since: str | None,
    until: str | None,
    failed: bool,
    is_open: bool,
    as_json: bool,
) -> None:
    """List runs, of JOB or of every job, newest first.

    A page of at most 200; `--before` with the last number of a page shows the next.

    Example: echopilot runs --failed --since yesterday
    """
    now, job = sight.now(), _one(of, job)
    wanted = Wanted(
        states=_states(states, failed=failed, is_open=is_open),
        origins=frozenset(map(Origin, origins)),
        since=past_moment("--since", since, now) if since else None,
        until=past_moment("--until", until, now) if until else None,
    )
    if wanted.since and wanted.until and wanted.since > wanted.until:
        raise refused("--since", f"came {stamp(wanted.since)}, which is later than --until, {stamp(wanted.until)}")
    ledger = sight.reading(sight.settings())
    if job is not None:
        _known(ledger, job)
    found = list(islice(_matching(ledger, job, wanted, before), limit))
    if as_json:
        more = {"next_before": found[-1].id if len(found) == limit else None}
        out.emit_json("runs", [run.as_dict() for run in found], now, **more)
    elif found:
        out.table(rows.RUN_COLUMNS, [rows.run_row(run, now) for run in found])
        if len(found) == limit:
            out.say(f"older ones: --before {found[-1].id}")
    else:
        out.say(f"no such runs; {_others(ledger, job)}")


def _one(of: str | None, job: str | None) -> str | None:
    """The job that was named, in whichever way."""
    if of is not None and job is not None and of != job:
        raise click.UsageError(
            f"two jobs were given, '{shorten(plain(of), 80)}' and '{shorten(plain(job), 80)}'; give one"
        )
    return of if of is not None else job


def _others(ledger: SqliteReading, job: str | None) -> str:
    """Whether there are any runs, or the filters leave all of them out."""
    newest, of = ledger.runs(job_name=job, limit=1), f" of {job}" if job else ""
    if not newest:
        return f"there are none{of} yet"
    all_of_it = f"echopilot runs {job}" if job else "echopilot runs"
    return f"there are others{of}, the newest is run {newest[0].id}: `{all_of_it}` lists them"


@record(frozen=True)
class Wanted:
    """Which runs are listed; empty sets mean any."""

    states: frozenset[State]
    origins: frozenset[Origin]
    since: datetime | None
    until: datetime | None

    def has(self, run: Run) -> bool:
        """Whether *run* is one of them."""
        is_late = self.until is not None and run.claimed_at > self.until
        return not is_late and (not self.origins or run.origin in self.origins)


def _states(states: Sequence[str], *, failed: bool, is_open: bool) -> frozenset[State]:
    if sum(map(bool, (states, failed, is_open))) > 1:
        raise click.UsageError("give one of --state, --failed and --open")
    return BAD_ENDS if failed else OPEN_STATES if is_open else frozenset(map(State, states))


def _matching(ledger: SqliteReading, job: str | None, wanted: Wanted, before: int | None) -> Iterator[Run]:
    """Page after page, as far back as anything may match; ids grow with the moment a run was queued."""
    while page := ledger.runs(job_name=job, states=wanted.states or None, before_id=before, limit=MOST):
        for run in page:
            if wanted.since is not None and run.claimed_at < wanted.since:
                return
            if wanted.has(run):
                yield run
        before = page[-1].id


def _known(ledger: SqliteReading, job: str) -> None:
    """History outlives definitions: every job the ledger ever saw may be asked for."""
    seen = ledger.first_seen()
    if job not in seen:
        raise unknown_name("job", job, list(seen))
