"""A scheduler's day in seconds: the real planner and the real ledger, driven through hours by a clock that obeys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger import Lease, Limits, SqliteLedger
from echopilot_jobs.outages import Cause, Outage
from echopilot_jobs.planner import Plan, paced, plan
from echopilot_jobs.runs import Outcome, Run, State
from echopilot_jobs.testing import FakeClock
from tests.schedulekit import reading

Ending = Callable[[Run], Outcome | None]


def well(_run: Run) -> Outcome:
    """Every run succeeds after 40 ms."""
    return Outcome(State.SUCCEEDED, duration_ms=40)


def live(
    ledger: SqliteLedger,
    jobs: Mapping[str, Job],
    clock: FakeClock,
    until: datetime,
    *,
    ending: Ending = well,
    step: float = 60.0,
    stop: str | None = "stopped",
) -> Lease:
    """One scheduler life from the clock's now to *until*, a beat every *step* seconds.

    *ending* decides how a run ends (None leaves it running); *stop* is how the life ends (None: killed).
    """
    began = clock.now()
    lease = ledger.take_lease(f"boot:{int(clock.monotonic())}:1", "testhost", "abc123", began)
    while clock.now() <= until:
        beat(ledger, jobs, clock.now(), lease, ending, paced_from=began)
        clock.sleep(step)
    for _ in range(3):
        if not ledger.runs(states={State.QUEUED}):
            break
        # Of two caught up by the last beat, the second was held back for a moment, and one of its own kind waits for it.
        beat(ledger, jobs, clock.now(), lease, ending, paced_from=began)
        clock.sleep(1)
    if stop:
        ledger.end_stint(lease, stop, clock.now())
    return lease


def beat(
    ledger: SqliteLedger,
    jobs: Mapping[str, Job],
    now: datetime,
    lease: Lease,
    ending: Ending,
    *,
    paced_from: datetime | None = None,
) -> None:
    """One pass: plan, claim, start, end."""
    with ledger.leading(lease, now) as work:
        known = work.standings(list(jobs.values()))
        plans = paced([(job, plan(job, known[job.name], now)) for job in jobs.values()], max(now, paced_from or now))
        outage = Outage(min(one.planned_through for one in known.values()), now, Cause.CRASH)
        work.dispose(plans, outage_id=work.record_outage(outage) if _missed(plans) else None)
        started = work.start_ready(Limits(50))
        work.renew(reading(now), planned=True)
    with ledger.leading(lease, now + timedelta(milliseconds=40)) as work:
        for run in started:
            if outcome := ending(run):
                work.finish(run, outcome)


def _missed(plans: list[tuple[Job, Plan]]) -> bool:
    return any(made.skipped for _, made in plans)
