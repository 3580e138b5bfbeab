"""Scenes to look at: ledgers with a believable past, made through the ledger's own door."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from echopilot_jobs import builtin, definitions
from echopilot_jobs.ledger import Lease, Limits, SqliteLedger
from echopilot_jobs.outages import Cause, Outage
from echopilot_jobs.planner import Plan
from echopilot_jobs.runs import Origin, Outcome, Output, Run, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.supervision import Program
from tests.programs import Table
from tests.schedulekit import claim, dispose, reading, stretch

NOW = datetime(2026, 3, 2, 12, 4, 41, 300_000, tzinfo=UTC)
DAY = timedelta(days=1)


def program(name: str, state: str = "RUNNING", pid: int | None = 4211, since: datetime | None = None) -> Program:
    """A line of a process table."""
    since = since or NOW - timedelta(hours=31, minutes=4)
    return Program(
        name, state, pid, since, None if pid else 1, "pid 4211, uptime 1 day" if pid else "exited too quickly"
    )


def all_up() -> Table:
    """Everything runs."""
    return Table([program("scheduler", pid=4211), program("web", pid=4212)])


class Past:
    """Writes a past into a ledger, moment by moment."""

    def __init__(self, settings: Settings, ledger: SqliteLedger, begins: datetime) -> None:
        self.settings, self.ledger = settings, ledger
        self.registry = builtin.jobs(settings)
        self.lease = self.begin(begins)

    def begin(self, at: datetime) -> Lease:
        """A scheduler starts."""
        self.lease = self.ledger.take_lease("boot:4211:77", "atlas", "4f1c9e2d7a10", at)
        with self.ledger.leading(self.lease, at) as transaction:
            transaction.standings(list(self.registry.values()))
        return self.lease

    def beat(self, at: datetime) -> None:
        """It is alive at this moment."""
        with self.ledger.leading(self.lease, at) as transaction:
            transaction.renew(reading(at), planned=True)

    def ran(self, name: str, slot_at: datetime, outcome: Outcome, late: float = 0.02, retry: bool = False) -> Run:
        """A slot ran, *late* seconds after its moment."""
        job, start = self.registry[name], slot_at + timedelta(seconds=late)
        claimed = claim(Slot(name, slot_at), Origin.SCHEDULE if late < 30 else Origin.CATCH_UP)
        with self.ledger.leading(self.lease, start) as transaction:
            dispose(transaction, job, Plan(slot_at, (claimed,)))
            (run,) = transaction.start_ready(Limits(1))
        end = start + timedelta(milliseconds=outcome.duration_ms)
        with self.ledger.leading(self.lease, end) as transaction:
            return transaction.finish(run, outcome, end + timedelta(minutes=1) if retry else None)

    def skipped(self, name: str, slots: Iterable[datetime], reason: SkipReason, cause: Cause, at: datetime) -> None:
        """Slots got no run."""
        missed = stretch(reason, [Slot(name, slot) for slot in slots])
        job, outage = self.registry[name], Outage(missed.first.due_at, at, cause)
        with self.ledger.leading(self.lease, at) as transaction:
            transaction.standings([job])
            made = Plan(missed.last.due_at, (), (missed,))
            transaction.dispose([(job, made)], outage_id=transaction.record_outage(outage))


def ok(ms: int, **facts: object) -> Outcome:
    """It succeeded."""
    return Outcome(State.SUCCEEDED, duration_ms=ms, **facts)  # type: ignore[arg-type]


def paper(settings: Settings, kind: str, headline: str) -> dict[str, str]:
    """A brief or report on the disk; the result its run would have."""
    folder = settings.logs_dir / ("exec_briefs" if kind == "brief" else "reports")
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{kind}_20260302_080000"
    (folder / f"{stem}.json").write_text(json.dumps({"ts": "2026-03-02T08:00:00Z", "headline": headline}))
    (folder / f"{stem}.html").write_text(f"<!doctype html><title>{kind}</title><h1>{headline}</h1>")
    where = folder.relative_to(settings.home)
    return {"headline": headline, "json_path": f"{where}/{stem}.json", "html_path": f"{where}/{stem}.html"}


def quiet_day(settings: Settings, path: Path) -> SqliteLedger:
    """A day on which everything went as it should."""
    ledger = SqliteLedger(path)
    past = Past(settings, ledger, NOW - timedelta(hours=31))
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(12, 0, -1):
        past.ran("ceo_brief", midnight - days * DAY + timedelta(hours=8), ok(2_300 + 90 * days))
        past.ran("daily_report", midnight - days * DAY + timedelta(hours=9), ok(900 + 40 * days))
    for sixths in range(20, 1, -1):
        past.ran("self_heal", midnight + timedelta(hours=12) - timedelta(hours=6 * sixths), ok(48, http_status=200))
    headline = "All four sources are live; disk fills by 1.2 % a day"
    past.ran("ceo_brief", midnight + timedelta(hours=8), ok(2_410, result=paper(settings, "brief", headline)))
    result = paper(settings, "report", "1,446 of 1,446 slots ran yesterday")
    past.ran("daily_report", midnight + timedelta(hours=9), ok(980, result=result))
    for minutes in range(31, 0, -1):
        slot = NOW.replace(second=0, microsecond=0) - timedelta(minutes=minutes)
        past.ran("heartbeat", slot, ok(1 + minutes % 3))
    past.ran("self_heal", midnight + timedelta(hours=12), ok(52, http_status=200))
    past.ran("heartbeat", NOW.replace(second=0, microsecond=0), ok(1))
    past.beat(NOW - timedelta(seconds=2))
    return ledger


JOBS = """
[jobs.export]
every = "6h"
command = ["sh", "-c", "true"]
description = "Writes the day's orders where the accountants look for them."
[jobs.export.params]
day = { type = "date", required = true, description = "the day to export" }
kind = { choices = ["csv", "json"], default = "csv" }
full = { type = "boolean", default = false }
note = { description = "kept with the run" }
[jobs.retired]
every = "1h"
command = ["sh", "-c", "true"]
enabled = false
[jobs.a_job_with_a_name_as_long_as_names_may_be_and_no_place_to_break]
manual = true
command = ["sh", "-c", "true"]
"""


def refused_file(settings: Settings, path: Path) -> SqliteLedger:
    """A quiet day, until somebody saved a jobs file with mistakes over a good one."""
    text = (
        JOBS.replace('"6h"', '"6 hours"') + 'tiemout = "5m"\n[jobs.other]\nevery = "1h"\nrun = "myapp.exprts:nightly"\n'
    )
    for content in (JOBS, text):
        (settings.home / "jobs.toml").write_text(content)
        definitions.keep(settings, definitions.check(settings), NOW - timedelta(minutes=7))
    ledger = quiet_day(settings, path)
    with ledger.leading(ledger.take_lease("boot:2:2", "atlas", "4f1c9e2d7a10", NOW), NOW) as leading:
        leading.standings(list(definitions.in_force(settings).registry.values()))
        leading.renew(reading(NOW), planned=True)
    return ledger


def stubborn_job(settings: Settings, path: Path) -> SqliteLedger:
    """A quiet day, but the newest brief took two attempts and half an hour."""
    ledger, begins = quiet_day(settings, path), NOW - timedelta(minutes=59, seconds=20)
    lease = ledger.take_lease("boot:4211:78", "atlas", "4f1c9e2d7a10", begins)
    ledger.request_run("ceo_brief", begins, actor="session 3fa1 from 127.0.0.1")
    for attempt, ends in enumerate((begins + timedelta(minutes=12), begins + timedelta(minutes=25, seconds=10))):
        with ledger.leading(lease, ends - timedelta(minutes=11)) as leading:
            (run,) = leading.start_ready(Limits(1))
        with ledger.leading(lease, ends) as leading:
            leading.finish(run, ok(660_000) if attempt else Outcome(State.FAILED), None if attempt else ends)
    with ledger.leading(lease, NOW) as leading:
        leading.renew(reading(NOW), planned=True)
    return ledger


TRACE = """Traceback (most recent call last):
  File "echopilot_jobs/builtin/ceo_brief.py", line 61, in run
    pair = write_pair(folder, stem, facts, page)
ArtefactFailed: 'brief_20260302_080000' could not be written to 'logs/exec_briefs': no space left on device"""


def bad_night(settings: Settings, path: Path) -> SqliteLedger:
    """The scheduler was dark for hours, and since then the brief fails."""
    ledger = SqliteLedger(path)
    past = Past(settings, ledger, NOW - timedelta(hours=40))
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(9, 0, -1):
        past.ran("ceo_brief", midnight - days * DAY + timedelta(hours=8), ok(2_300 + 90 * days))
        past.ran("daily_report", midnight - days * DAY + timedelta(hours=9), ok(900 + 40 * days))
    past.beat(midnight + timedelta(hours=2, minutes=10))
    back = midnight + timedelta(hours=7, minutes=24)
    past.begin(back)
    minutes = [midnight + timedelta(hours=2, minutes=10 + n) for n in range(1, 313)]
    past.skipped("heartbeat", minutes, SkipReason.COALESCED, Cause.CRASH, back)
    past.skipped("self_heal", [midnight + timedelta(hours=6)], SkipReason.EXPIRED, Cause.CRASH, back)
    printed = Output(head="reading 4 signals\nuptime.ndjson: 23,837 lines\nwriting the brief\n" + TRACE + "\n")
    failed = Outcome(State.FAILED, error=TRACE, exit_status=1, output=printed, duration_ms=2_210)
    past.ran("ceo_brief", midnight + timedelta(hours=8), failed)
    past.ran("daily_report", midnight + timedelta(hours=9), ok(1_020), late=74.0)
    for minutes_ago in range(31, 0, -1):
        past.ran("heartbeat", NOW.replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago), ok(1))
    timed_out = Outcome(State.TIMED_OUT, error="no answer within 120 s", duration_ms=120_000)
    past.ran("self_heal", midnight + timedelta(hours=12), timed_out)
    ledger.request_run("daily_report", NOW - timedelta(seconds=1), actor="session 3fa1 from 127.0.0.1")
    past.beat(NOW - timedelta(seconds=3))
    return ledger
