"""`echopilot audit`: every slot since registration, worked out anew and compared with the ledger and the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.completion import job_names
from echopilot_jobs.cli.inputs import past_moment
from echopilot_jobs.errors import unknown_name

if TYPE_CHECKING:
    from echopilot_jobs.accounting.audit import ReadLog, Report
    from echopilot_jobs.accounting.findings import Account
    from echopilot_jobs.ledger import SqliteLedger

COLUMNS = (
    out.Column("JOB", gives_way=True),
    out.Column("SLOTS", right=True),
    out.Column("RAN", right=True),
    out.Column("CAUGHT UP", right=True),
    out.Column("SKIPPED", right=True),
    out.Column("IN GAPS", right=True),
    out.Column("LOST", right=True),
    out.Column("DOUBLED", right=True),
)
# Columns that are left out where they hold nothing.
RARE = (
    out.Column("WAITING", right=True),
    out.Column("CANCELLED", right=True),
    out.Column("BACKFILLED", right=True),
)


@click.command("audit")
@click.option(
    "--job",
    "jobs",
    multiple=True,
    metavar="NAME",
    shell_complete=job_names,
    help="Only this job; may be given more than once.",
)
@click.option("--since", metavar="TIME", help="Only slots from then on, for example '3d ago' or '2026-03-01 08:00'.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(jobs: tuple[str, ...], since: str | None, as_json: bool) -> int:
    """Account for every slot; exit 1 if one is lost or doubled.

    Works every slot out anew from the definitions the ledger keeps, since each job was registered, and compares them with
    the runs, skips and gaps recorded, and those with the log. Runs that wait, and runs that were cancelled before they
    started, are counted apart from those that ran. While no scheduler leads, slots that came due since the last one
    planned are told apart: nothing is decided about them, and nothing is lost.

    Example: echopilot audit --since '3d ago'
    """
    now, settings = sight.now(), sight.settings()
    ledger = sight.ledger(settings)
    start = past_moment("--since", since, now) if since is not None else None
    for name in jobs:
        _known(ledger, name)
    from echopilot_jobs.accounting.audit import audit

    read_log = _log_reader(settings.logs_dir, ledger.ledger_id)
    report = audit(ledger, now, names=set(jobs) or None, since=start, read_log=read_log, lives=sight.owner_alive)
    if as_json:
        out.emit_json("audit", report.as_dict(), now)
    else:
        _show(report)
    return 0 if report.is_green else 1


def _known(ledger: SqliteLedger, name: str) -> None:
    """History outlives definitions: every job the ledger ever saw may be audited."""
    if name not in (seen := ledger.first_seen()):
        raise unknown_name("job", name, list(seen))


def _log_reader(logs_dir: Path, ledger_id: str) -> ReadLog | None:
    from echopilot_jobs.accounting.logbook import read_logbook

    if not logs_dir.is_dir():
        return None
    return lambda since, begun, names: read_logbook(logs_dir, since, begun, names, ledger_id)


def _show(report: Report) -> None:
    shown = [account for account in report.accounts if any(_counts(account))]
    _table(shown)
    if idle := len(report.accounts) - len(shown):
        out.line(f"left out: {idle:,} job{'' if idle == 1 else 's'} without a slot in this time")
    out.line()
    for account in report.accounts:
        if account.skipped:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in account.skipped.most_common())
            out.line(f"{account.job_name} skipped: {reasons}")
    for note in report.notes:
        out.line(f"note: {note}")
    _show_findings(report)
    out.line(_verdict(report))
    if report.undecided:
        out.line(report.undecided.words)


def _table(accounts: list[Account]) -> None:
    columns = (*COLUMNS, *RARE)
    rows = [[account.job_name, *(f"{count:,}" for count in _counts(account))] for account in accounts]
    used = [at for at in range(len(columns)) if at < len(COLUMNS) or any(row[at] != "0" for row in rows)]
    out.table([columns[at] for at in used], [[row[at] for at in used] for row in rows])


def _counts(account: Account) -> tuple[int, ...]:
    return (
        account.slots,
        account.ran,
        account.caught_up,
        account.skipped.total(),
        account.in_gaps,
        account.lost,
        account.doubled,
        account.waiting,
        account.cancelled,
        account.backfilled,
    )


def _show_findings(report: Report) -> None:
    for finding in report.findings.shown:
        out.marked("✗", "fail", f"{finding.kind} {finding.job_name}: {finding.words}", None)
    rest = report.findings.entries - len(report.findings.shown)
    if rest > 0:
        out.line(f"  and {rest:,} more")


def _verdict(report: Report) -> str:
    slots = sum(account.slots for account in report.accounts)
    log = f"; {report.log_lines:,} lines of the log agree" if report.log_lines else ""
    if report.is_green:
        return f"green: {slots:,} slots, none lost and none doubled{log}"
    counts = ", ".join(f"{count:,} {kind}" for kind, count in report.findings.counts.most_common())
    return f"red: {counts} among {slots:,} slots; ask about one with `echopilot why JOB TIME`"
