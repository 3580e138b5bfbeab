"""One pass of the leading scheduler, inside the transaction that `SqliteLedger.leading` opened."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime

from echopilot_jobs.clock import from_ms, to_ms
from echopilot_jobs.errors import WrongState
from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger.protocol import Lease
from echopilot_jobs.ledger.rows import run_of, to_json
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.planner import Claim, Plan, SkippedStretch, Standing
from echopilot_jobs.runs import Origin, Outcome, Run, State


class SqlitePass:
    """Keeps the promises of `protocol.Pass`. Lives no longer than its transaction."""

    def __init__(self, sql: Sql, lease: Lease, now: datetime) -> None:
        self._sql = sql
        self._lease = lease
        self._now = to_ms(now)

    def standing(self, job: Job) -> Standing:
        row = self._job_row(job)
        busy = self._sql.maybe("is_busy", job_id=row["id"]) is not None
        return Standing(planned_through=from_ms(row["planned_through"]), busy=busy)

    def dispose(self, job: Job, plan: Plan) -> list[Run]:
        job_id = self._job_row(job)["id"]
        for stretch in plan.skipped:
            self._skip(job_id, stretch, plan.cause)
        if plan.claims:
            self._give_up_retries(job_id)
        claimed = [run for claim in plan.claims if (run := self._claim(job_id, claim))]
        self._sql.do("advance", job_id=job_id, planned_through=to_ms(plan.planned_through))
        return claimed

    def request(self, job_name: str, origin: Origin, request_key: str) -> Run | None:
        job_id = self._sql.one("job_by_name", name=job_name)["id"]
        row = self._sql.maybe(
            "request",
            job_id=job_id,
            origin=origin.value,
            slot_at=None,
            generation=None,
            now=self._now,
            request_key=request_key,
            actor=None,
            params=None,
        )
        return self._moved(row["id"]) if row else None

    def start_ready(self, limit: int, uncounted: frozenset[str] = frozenset()) -> list[Run]:
        started: dict[str, Run] = {}
        for row in self._sql.rows("ready", now=self._now):
            counts = row["name"] not in uncounted
            if row["name"] in started or (counts and limit <= 0):
                continue
            limit -= counts
            self._sql.do("start", run_id=row["id"], now=self._now, stint_id=self._lease.stint_id)
            started[row["name"]] = self._moved(row["id"])
        return list(started.values())

    def finish(self, run: Run, outcome: Outcome, retry_at: datetime | None = None) -> Run:
        state = State.RETRY_WAIT if retry_at else outcome.state
        changed = self._sql.do(
            "finish",
            run_id=run.id,
            stint_id=self._lease.stint_id,
            attempt=run.attempt,
            state=state.value,
            finished_at=None if retry_at else self._now,
            not_before=to_ms(retry_at) if retry_at else None,
            duration_ms=outcome.duration_ms,
            error=outcome.error,
            result=to_json(outcome.result),
            exit_status=outcome.exit_status,
            http_status=outcome.http_status,
        )
        if changed != 1:
            raise WrongState(f"run {run.id} attempt {run.attempt} is no longer ours to finish")
        self._keep_output(run.id, outcome)
        return self._moved(run.id, outcome.error if retry_at else None)

    def next_ready_at(self) -> datetime | None:
        at = self._sql.one("next_ready_at", now=self._now)["at"]
        return None if at is None else from_ms(at)

    def renew(self) -> None:
        self._sql.do("renew", stint_id=self._lease.stint_id, now=self._now)

    def _job_row(self, job: Job) -> sqlite3.Row:
        """The job's row, made on first sight. New times owe nothing for the time before the change."""
        row = self._sql.maybe("job_by_name", name=job.name)
        if row is not None and row["revision"] == job.revision and row["is_defined"]:
            return row
        facts = {"name": job.name, "definition": to_json(job.definition()), "revision": job.revision}
        if row is None:
            return self._sql.one("register_job", **facts, now=self._now)
        same_times = row["is_defined"] and json.loads(row["definition"])["trigger"] == str(job.trigger)
        return self._sql.one("redefine_job", **facts, owes_nothing_before=0 if same_times else self._now)

    def _claim(self, job_id: int, claim: Claim) -> Run | None:
        """The run of a slot, or None when the slot already had one: the unique index decides (I1)."""
        row = self._sql.maybe(
            "claim",
            job_id=job_id,
            origin=claim.origin.value,
            slot_at=claim.slot.epoch_seconds,
            generation=claim.slot.generation,
            now=self._now,
            planned_at=None,
            not_before=to_ms(claim.not_before) if claim.not_before else None,
        )
        return self._moved(row["id"]) if row else None

    def _skip(self, job_id: int, stretch: SkippedStretch, cause: str) -> None:
        first, last = stretch.slots[0], stretch.slots[-1]
        if stretch.is_gap:
            span = {
                "first_at": first.epoch_seconds,
                "last_at": last.epoch_seconds,
                "count": len(stretch.slots),
            }
            self._sql.do("gap", job_id=job_id, reason=stretch.reason.value, cause=cause, now=self._now, **span)
            return
        for slot in stretch.slots:
            place = {"slot_at": slot.epoch_seconds, "generation": slot.generation}
            self._sql.do("skip", job_id=job_id, reason=stretch.reason.value, now=self._now, **place)

    def _give_up_retries(self, job_id: int) -> None:
        """A retry stops when the next slot is claimed."""
        for row in self._sql.rows("give_up_retries", job_id=job_id, now=self._now):
            self._moved(row["id"], "the next slot came due")

    def _keep_output(self, run_id: int, outcome: Outcome) -> None:
        output = outcome.output
        if output.head or output.tail:
            self._sql.do(
                "put_output",
                run_id=run_id,
                head=output.head,
                tail=output.tail,
                dropped_bytes=output.dropped_bytes,
            )

    def _moved(self, run_id: int, note: str | None = None) -> Run:
        """Write the event of a move just made; the run as it stands now."""
        self._sql.do("event", run_id=run_id, now=self._now, note=note)
        return run_of(self._sql.one("run_by_id", run_id=run_id))
