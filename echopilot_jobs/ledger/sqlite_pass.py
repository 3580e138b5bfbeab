"""One pass of the leading scheduler, inside the transaction that `SqliteLedger.leading` opened."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from datetime import datetime, timedelta

from echopilot_jobs.clock import from_ms, to_ms
from echopilot_jobs.errors import WrongState
from echopilot_jobs.holds import Hold, Pause
from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger import backlog
from echopilot_jobs.ledger.claiming import Claiming
from echopilot_jobs.ledger.defining import Definitions, JobRow
from echopilot_jobs.ledger.ending import Ending
from echopilot_jobs.ledger.facts import Disposed, End, Lease, Limits
from echopilot_jobs.ledger.rows import generation_of, pause_of, run_of
from echopilot_jobs.ledger.starting import RANKS, Key, Starting
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.ledger.stored import moment
from echopilot_jobs.outages import Outage, Reading
from echopilot_jobs.planner import Claim, Plan, Standing
from echopilot_jobs.runs import NEXT_SLOT, Generation, Origin, Outcome, Output, Progress, Run, State
from echopilot_jobs.slots import SkipReason
from echopilot_jobs.stretches import SkippedStretch

_MILLISECOND = timedelta(milliseconds=1)
# What nobody missed: it would not have run without any outage either.
_NOT_MISSED = frozenset({SkipReason.PAUSED, SkipReason.DISABLED, SkipReason.OVERLAP})


class SqlitePass:
    """Keeps the promises of `protocol.Pass`. Lives no longer than its transaction."""

    def __init__(self, sql: Sql, lease: Lease, now: datetime) -> None:
        self._sql = sql
        self._lease = lease
        self._now = to_ms(now)
        self._at = from_ms(self._now)
        self._rows: dict[str, JobRow] = {}
        self._pauses: list[Pause] | None = None
        self._generation: Generation | None = None
        self._fresh: dict[int, Run] = {}
        self._starting = Starting(sql, lease, self._at)
        self._claiming = Claiming(sql, lease, self._at, self._starting.started)
        self._ending = Ending(sql, lease, self._at)
        self._definitions = Definitions(sql, self._now, self._supersede)
        self.superseded: list[tuple[Job, SkippedStretch]] = []

    def close(self) -> None:
        """Write what was gathered to be written together."""
        self._ending.close()

    # -- the wall clock

    def generation(self) -> Generation:
        if self._generation is None:
            self._generation = generation_of(self._sql.one("generation"))
        return self._generation

    def begin_generation(self, step: timedelta, away: timedelta, *, held: bool, rewound: Sequence[Job]) -> Generation:
        self._sql.do("settle_generations")
        self._sql.do("begin_generation", now=self._now, step_ms=away // _MILLISECOND, held=int(held))
        self._sql.do("note_step", step_ms=step // _MILLISECOND)
        for waiting in ("shift_waiting_runs", "shift_holds"):
            self._sql.do(waiting, step_ms=step // _MILLISECOND)
        # What held goes on to its wall-clock end, what was over stays so.
        for pauses in ("end_past_pauses", "keep_pauses"):
            self._sql.do(pauses, step_ms=step // _MILLISECOND, now=self._now)
        for job in rewound:
            self._definitions.keep_beat(job, step)
        self._generation = None
        return self.generation()

    def trust_clock(self, rewound: Sequence[Job] = ()) -> None:
        began = to_ms(self.generation().began_at)
        self._sql.do("settle_generations")
        self._generation = None
        for job in rewound:
            self._owe_from(job, began, only_if_beyond=True)

    def _owe_from(self, job: Job, ms: int, *, only_if_beyond: bool = False) -> None:
        self._definitions.owe_from(job.name, ms, only_if_beyond=only_if_beyond)

    def record_outage(self, outage: Outage) -> int:
        row = self._sql.one(
            "record_outage",
            since=to_ms(outage.since),
            until=to_ms(outage.until),
            cause=outage.cause.value,
            detail=outage.detail,
        )
        return int(row["id"])

    # -- backlogs

    def open_hold(self, count: int, expires_at: datetime) -> int:
        return int(self._sql.one("open_hold", now=self._now, expires_at=to_ms(expires_at), count=count)["id"])

    def settle_holds(self) -> Hold | None:
        hold = backlog.waiting(self._sql)
        if hold is None or hold.expires_at > self._at:
            return None
        return backlog.answer(self._sql, hold, "latest", "default", self._at)

    # -- planning

    def standings(self, jobs: Sequence[Job]) -> dict[str, Standing]:
        self._rows.update((row.name, row) for row in self._definitions.rows([job.name for job in jobs]))
        number = self.generation().number
        for job in jobs:
            if row := self._definitions.define(job, self._rows.get(job.name), number):
                self._rows[job.name] = row
        return {job.name: self._standing(self._rows[job.name], number) for job in jobs}

    def _supersede(self, job: Job, job_id: int, stretch: SkippedStretch) -> None:
        self._skip(job, job_id, stretch, None)
        self.superseded.append((job, stretch))

    def retire(self, kept: Collection[str]) -> None:
        self._definitions.retire(kept)

    def _standing(self, row: JobRow, generation: int) -> Standing:
        through = moment(row.planned_through)
        return Standing(through, row.running, row.waiting, generation, self._pauses_of(row.name, through))

    def _pauses_of(self, job_name: str, after: datetime) -> tuple[Pause, ...]:
        if self._pauses is None:
            oldest = min((row.planned_through for row in self._rows.values()), default=self._now)
            self._pauses = [pause_of(row) for row in self._sql.rows("pauses", after=oldest, job_name=None)]
        if not self._pauses:
            return ()
        found = (pause for pause in self._pauses if pause.job_name == job_name)
        return tuple(pause for pause in found if pause.until is None or pause.until > after)

    def dispose(
        self,
        plans: Sequence[tuple[Job, Plan]],
        *,
        outage_id: int | None = None,
        hold_id: int | None = None,
        limits: Limits | None = None,
    ) -> Disposed:
        ended: list[Run] = []
        wanted: dict[Key, tuple[Job, Claim]] = {}
        for job, plan in plans:
            row = self._rows[job.name]
            for stretch in plan.skipped:
                self._skip(job, row.id, stretch, outage_id)
            if plan.claims and (plan.cancels_previous or row.has_older):
                ended += self._make_room(row.id, plan)
            for claim in plan.claims:
                wanted[row.id, claim.slot.epoch_seconds] = job, claim
        at_once = self._starting.of_claims(wanted, limits) if limits is not None else set()
        claimed = self._claiming.claim_all(wanted, outage_id, hold_id, at_once)
        self._advance(plans)
        for key in at_once - claimed.keys():  # its slot had a run already
            self._starting.give_back(wanted[key][0].name)
        self._fresh.update((run.id, run) for key, run in claimed.items() if key not in at_once)
        started = [run for key, run in claimed.items() if key in at_once]
        return Disposed([*claimed.values()], ended, started)

    def _advance(self, plans: Sequence[tuple[Job, Plan]]) -> None:
        ids: dict[datetime, list[int]] = {}
        for job, plan in plans:
            ids.setdefault(plan.planned_through, []).append(self._rows[job.name].id)
        for through, job_ids in ids.items():
            self._sql.together("advance", job_ids, planned_through=to_ms(through))

    def request(self, job_name: str, origin: Origin, request_key: str) -> Run | None:
        job_id = self._sql.one("job_by_name", name=job_name)["id"]
        row = self._sql.maybe(
            "request",
            job_id=job_id,
            origin=origin.value,
            rank=RANKS.get(origin, 0),
            slot_at=None,
            generation=None,
            now=self._now,
            not_before=None,
            request_key=request_key,
            actor=None,
            params=None,
        )
        if row is None:
            return None
        self._sql.do("note_last_run", job_id=job_id, run_id=row["id"])
        return Run(row["id"], job_name, origin, State.QUEUED, self._at, request_key=request_key)

    # -- starting and finishing

    def start_ready(self, limits: Limits) -> list[Run]:
        return self._starting.ready(limits, self._fresh)

    def strays(self, known: Set[int]) -> list[Run]:
        rows = self._sql.rows("running_of_stint", stint_id=self._lease.stint_id)
        return [run_of(row) for row in rows if row["id"] not in known]

    def to_cancel(self) -> list[tuple[int, str]]:
        return [(row["id"], row["cancel_wanted"]) for row in self._sql.rows("to_cancel")]

    def note_progress(self, progresses: Mapping[int, Progress]) -> None:
        rows = [{"run_id": run_id, **each.__dict__, "at": to_ms(each.at)} for run_id, each in progresses.items()]
        self._sql.many("put_progress", rows)

    def note_outputs(self, outputs: Mapping[int, Output]) -> None:
        self._sql.many("put_output_so_far", [{"run_id": run_id, **each.__dict__} for run_id, each in outputs.items()])

    def finish(self, run: Run, outcome: Outcome, retry_at: datetime | None = None) -> Run:
        (ended,) = self._ending.finish_all([(run, outcome, retry_at)])
        if isinstance(ended, WrongState):
            raise ended
        return ended

    def finish_all(self, ends: Sequence[End]) -> list[Run | WrongState]:
        return self._ending.finish_all(ends)

    def next_ready_at(self) -> datetime | None:
        at = self._sql.one("next_ready_at", now=self._now)["at"]
        return None if at is None else moment(at)

    def renew(self, reading: Reading, *, planned: bool) -> None:
        self._sql.do("renew", stint_id=self._lease.stint_id, now=self._now)
        if planned:
            clocks = {"boottime_ms": round(reading.boottime * 1000), "monotonic_ms": round(reading.monotonic * 1000)}
            self._sql.do("put_last_pass", stint_id=self._lease.stint_id, now=self._now, **clocks)

    # -- dispositions

    def _skip(self, job: Job, job_id: int, stretch: SkippedStretch, outage_id: int | None) -> None:
        facts = {
            "job_id": job_id,
            "generation": stretch.first.generation,
            "reason": stretch.reason.value,
            "now": self._now,
            "outage_id": None if stretch.reason in _NOT_MISSED else outage_id,
            "term": self._lease.term,
        }
        if stretch.is_gap:
            span = {"first_at": stretch.first.epoch_seconds, "last_at": stretch.last.epoch_seconds}
            self._sql.do("gap", count=stretch.count, **span, **facts)
            return
        facts["once"] = int(stretch.first.generation > 0 and not job.trigger.follows_real_time)
        self._sql.many("skip", [{"slot_at": slot.epoch_seconds, **facts} for slot in stretch.slots])

    def _make_room(self, job_id: int, plan: Plan) -> Iterator[Run]:
        """A retry stops when the next slot is claimed; under `cancel_previous` everything older gives way.

        Yields the runs that ended by it. One that only waited for another attempt ends as its last one did, whatever the
        overlap rule: nothing of it is left to cancel, and what went wrong must not be hidden (I12).
        """
        for row in self._sql.rows("give_up_retries", job_id=job_id, now=self._now):
            self._sql.do("note_failure", run_id=row["id"])
            yield self._run(row["id"])
        if plan.cancels_previous:
            for row in self._sql.rows("give_way", job_id=job_id, now=self._now):
                yield self._run(row["id"])
            for row in self._sql.rows("running_ids_of_job", job_id=job_id):
                self._sql.do("want_cancelled", run_id=row["id"], actor=NEXT_SLOT)

    def _run(self, run_id: int) -> Run:
        return run_of(self._sql.one("run_by_id", run_id=run_id))
