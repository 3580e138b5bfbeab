"""Which runs are old enough to go, a small batch at a time, so that no lock is held for long."""

from __future__ import annotations

from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.records import record
from echopilot_jobs.runs import OPEN_STATES

COUNT_AT_ONCE = 5_000


@record(frozen=True)
class Batch:
    """Runs to delete, and the last one looked at (None: everything beyond is younger)."""

    doomed: list[int]
    looked_at: int | None


def batch(sql: Sql, older_than_ms: int, keep_per_job: int, limit: int, after: int) -> Batch:
    """Of the *limit* oldest runs beyond run *after*, those that ended before *older_than_ms* and are not a job's newest.

    Ids grow with the moment of the claim, so the first young run ends the search.
    """
    kept_from: dict[int, int] = {}
    doomed: list[int] = []
    rows = sql.rows("oldest_runs", after=after, limit=limit)
    for row in rows:
        if row["claimed_at"] >= older_than_ms:
            return Batch(doomed, None)
        job_id = row["job_id"]
        if job_id not in kept_from:
            newest = sql.maybe("newest_kept", job_id=job_id, keep=keep_per_job)
            kept_from[job_id] = newest["id"] if newest else 0
        ended_long_ago = row["finished_at"] is not None and row["finished_at"] < older_than_ms
        if row["state"] not in OPEN_STATES and ended_long_ago and row["id"] < kept_from[job_id]:
            doomed.append(row["id"])
    return Batch(doomed, rows[-1]["id"] if len(rows) == limit else None)


def count(sql: Sql, older_than_ms: int, keep_per_job: int) -> int:
    """How many runs would go in all."""
    found, after = 0, 0
    while True:
        one = batch(sql, older_than_ms, keep_per_job, COUNT_AT_ONCE, after)
        found += len(one.doomed)
        if one.looked_at is None:
            return found
        after = one.looked_at
