"""Claims: the runs that slots become, written by one statement where they are alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from datetime import datetime
from itertools import groupby

from echopilot_jobs.clock import to_ms
from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger.facts import Lease
from echopilot_jobs.ledger.starting import RANKS, Key, Wanted
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.planner import Claim
from echopilot_jobs.runs import Origin, Run, State


class Claiming:
    """Inside the transaction that *sql* is in, at the moment *at*; *started* makes of a run what it is once it runs."""

    def __init__(self, sql: Sql, lease: Lease, at: datetime, started: Callable[[Run], Run]) -> None:
        self._sql = sql
        self._lease = lease
        self._at = at
        self._now = to_ms(at)
        self._started = started

    def claim_all(
        self, wanted: Wanted, outage_id: int | None, hold_id: int | None, at_once: Set[Key] = frozenset()
    ) -> dict[Key, Run]:
        """The runs of the slots *wanted*, by job and moment; none where a slot already had one: the index decides (I1).

        Those *at_once* are written as started. A calendar moment that ran in an earlier clock generation does not run
        again (I18).
        """
        claimed: dict[Key, Run] = {}
        for (*_, once, is_at_once), keys in groupby(wanted, lambda key: _alike(*wanted[key], key in at_once)):
            alike = [*keys]
            claim, slot_at = wanted[alike[0]][1], alike[0][1]
            facts = self._facts_of(claim, outage_id, hold_id)
            model = self._model_of(claim, hold_id)
            if is_at_once:
                facts |= self._begun
                model = self._started(model)
            for run_id, job_id in self._sql.together("claim", [job_id for job_id, _ in alike], once=once, **facts):
                job, claim = wanted[key := (job_id, slot_at)]
                claimed[key] = model.changed(id=run_id, job_name=job.name, slot=claim.slot)
        return claimed

    def _facts_of(self, claim: Claim, outage_id: int | None, hold_id: int | None) -> dict[str, object]:
        """What the runs of *claim* and of those like it are written with, as long as they wait."""
        caught_up = claim.origin is Origin.CATCH_UP
        return {
            "origin": claim.origin.value,
            "rank": RANKS.get(claim.origin, 0),
            "slot_at": claim.slot.epoch_seconds,
            "generation": claim.slot.generation,
            "planned_at": None if claim.planned_at == claim.slot.due_at else to_ms(claim.planned_at),
            "not_before": to_ms(claim.not_before) if claim.not_before else None,
            "hold_id": hold_id if caught_up else None,
            "outage_id": outage_id if caught_up else None,
            "state": State.QUEUED.value,
            "attempt": 0,
            "started_at": None,
            "stint_id": None,
            "now": self._now,
            "term": self._lease.term,
        }

    @property
    def _begun(self) -> Mapping[str, object]:
        """What differs in those that begin as they are claimed."""
        return {
            "state": State.RUNNING.value,
            "attempt": 1,
            "started_at": self._now,
            "stint_id": self._lease.stint_id,
            "not_before": None,
        }

    def _model_of(self, claim: Claim, hold_id: int | None) -> Run:
        """What the runs of *claim* and of those like it have in common as long as they wait."""
        return Run(
            id=0,
            job_name="",
            origin=claim.origin,
            state=State.QUEUED,
            claimed_at=self._at,
            planned_at=None if claim.planned_at == claim.slot.due_at else claim.planned_at,
            not_before=claim.not_before,
            hold_id=hold_id if claim.origin is Origin.CATCH_UP else None,
        )


def _alike(job: Job, claim: Claim, is_at_once: bool) -> tuple[object, ...]:
    """What claims share that are written by one statement."""
    slot = claim.slot
    once = slot.generation > 0 and not job.trigger.follows_real_time
    return slot.due_at, slot.generation, claim.origin, claim.planned_at, claim.not_before, once, is_at_once
