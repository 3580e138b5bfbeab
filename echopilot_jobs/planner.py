"""Which slots came due, and what becomes of each: a pure decision over (planned_through, now]."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from echopilot_jobs.jobs import Job, slots
from echopilot_jobs.runs import Origin, SkipReason, Slot

LIVE_WITHIN = timedelta(seconds=15)  # G, the detection allowance: later than this is catching up
CATCH_UP_MOST = 10
GAP_ABOVE = 100
SETTLE = timedelta(seconds=10)
PACE = timedelta(seconds=5)


@dataclass(frozen=True)
class Standing:
    """What the ledger knows of a job: how far it is planned, and whether a run of it is still open."""

    planned_through: datetime
    busy: bool = False


@dataclass(frozen=True)
class Claim:
    """A slot that becomes a run; *not_before* holds back a caught-up one so that a start does not begin with a storm."""

    slot: Slot
    origin: Origin
    not_before: datetime | None = None


@dataclass(frozen=True)
class SkippedStretch:
    """Consecutive skipped slots of one reason. One row each up to `GAP_ABOVE` of them, a single gap row beyond."""

    reason: SkipReason
    slots: tuple[Slot, ...]

    @property
    def is_gap(self) -> bool:
        """Whether these become one gap row."""
        return len(self.slots) > GAP_ABOVE


@dataclass(frozen=True)
class Plan:
    """Every slot in (planned_through before, planned_through now], each with exactly one disposition."""

    planned_through: datetime
    claims: tuple[Claim, ...] = ()
    skipped: tuple[SkippedStretch, ...] = ()
    cause: str = "unknown"


def plan(
    job: Job, standing: Standing, now: datetime, *, paced_from: datetime | None = None, cause: str = "unknown"
) -> Plan:
    """Dispose of every slot of *job* that came due since it was last planned (I2, I4).

    *paced_from* is when catching up may begin (ten seconds after the scheduler started); live slots never wait for it.
    *cause* labels the gap, whatever opened it. A clock that stepped back plans nothing and keeps the marker.
    """
    if now <= standing.planned_through:
        return Plan(standing.planned_through)
    due = list(slots(job, standing.planned_through, now))
    live = [slot for slot in due if now - slot.due_at <= LIVE_WITHIN]
    missed = due[: len(due) - len(live)]
    kept, dropped = _catch_up(job, missed, now, superseded=bool(live))
    if standing.busy:
        overlapping = kept + live
        return _plan(now, [], [*dropped, *_stretch(SkipReason.OVERLAP, overlapping)], cause)
    claims = [Claim(slot, Origin.CATCH_UP, _not_before(n, now, paced_from)) for n, slot in enumerate(kept)]
    claims += [Claim(slot, Origin.SCHEDULE) for slot in live]
    return _plan(now, claims, dropped, cause)


def _plan(now: datetime, claims: list[Claim], skipped: list[SkippedStretch], cause: str) -> Plan:
    return Plan(now, tuple(claims), tuple(skipped), cause)


def _catch_up(
    job: Job, missed: list[Slot], now: datetime, *, superseded: bool
) -> tuple[list[Slot], list[SkippedStretch]]:
    """Split *missed* into the slots still to run and the stretches given up, by the job's policy and window."""
    inside = [slot for slot in missed if now - slot.due_at <= job.window]
    expired = missed[: len(missed) - len(inside)]
    if job.catch_up == "none":
        return [], _stretch(SkipReason.EXPIRED, missed)
    if job.catch_up == "all":
        cut = max(len(inside) - CATCH_UP_MOST, 0)
        return inside[cut:], _stretch(SkipReason.EXPIRED, expired) + _stretch(SkipReason.CAP, inside[:cut])
    cut = len(inside) if superseded else max(len(inside) - 1, 0)
    return inside[cut:], _stretch(SkipReason.EXPIRED, expired) + _stretch(SkipReason.COALESCED, inside[:cut])


def _stretch(reason: SkipReason, skipped: list[Slot]) -> list[SkippedStretch]:
    return [SkippedStretch(reason, tuple(skipped))] if skipped else []


def _not_before(position: int, now: datetime, paced_from: datetime | None) -> datetime | None:
    """One start every five seconds, beginning when the start-up has settled."""
    if paced_from is None:
        return None
    return max(now, paced_from) + position * PACE
