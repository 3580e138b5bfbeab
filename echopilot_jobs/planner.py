"""Which slots came due, and what becomes of each: a pure decision over (planned_through, now]."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from echopilot_jobs.holds import Pause
from echopilot_jobs.jobs import Job, planned_at, slots
from echopilot_jobs.outages import SILENT_ABOVE
from echopilot_jobs.runs import Origin
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.stretches import GAP_ABOVE, KEPT, Due, Gathered, SkippedStretch, count_off

LIVE_WITHIN = SILENT_ABOVE  # later than this is catching up
CATCH_UP_MOST = 10
WAITING_MOST = 100
SETTLE = timedelta(seconds=10)
PACE = timedelta(seconds=5)
CONSENT_ABOVE = 20
CONSENT_LATE = timedelta(hours=24)
CONSENT_WITHIN = timedelta(hours=1)

_MILLISECOND = timedelta(milliseconds=1)  # the ledger's grain: a marker this far before a slot leaves it to be planned


class Standing(NamedTuple):
    """What the ledger knows of a job: how far it is planned, in which clock generation, and what of it is open.

    *waiting* counts queued runs that were not caught up or backfilled: those never hinder a live slot.
    """

    planned_through: datetime
    running: int = 0
    waiting: int = 0
    generation: int = 0
    pauses: tuple[Pause, ...] = ()


class Claim(NamedTuple):
    """A slot that becomes a run; *not_before* holds back a caught-up one so that a start does not begin with a storm."""

    slot: Slot
    origin: Origin
    planned_at: datetime
    not_before: datetime | None = None


class Plan(NamedTuple):
    """Every slot in (planned_through before, planned_through now], each with exactly one disposition.

    With *cancels_previous* the job's open runs give way to the claim.
    """

    planned_through: datetime
    claims: tuple[Claim, ...] = ()
    skipped: tuple[SkippedStretch, ...] = ()
    cancels_previous: bool = False


def plan(
    job: Job, standing: Standing, now: datetime, *, latest_only: bool = False, held_from: datetime | None = None
) -> Plan:
    """Dispose of every slot of *job* that came due since it was last planned (I2, I4).

    *latest_only* caps catching up at one run, after a clock nobody could trust. Slots from *held_from* on that are not
    run were missed because calendar jobs were on hold. A clock behind the marker plans nothing and keeps the marker.
    """
    if now <= standing.planned_through:
        return Plan(standing.planned_through)
    return _usual(job, standing, now) or _at_length(job, standing, now, latest_only=latest_only, held_from=held_from)


def needs_consent(claims: Iterable[Claim], now: datetime) -> bool:
    """Whether a backlog is so large or so late that a person should say what becomes of it."""
    late = [claim for claim in claims if claim.origin is Origin.CATCH_UP]
    return len(late) > CONSENT_ABOVE or any(now - claim.slot.due_at > CONSENT_LATE for claim in late)


def paced(plans: Sequence[tuple[Job, Plan]], start: datetime, *, apart: timedelta = PACE) -> list[tuple[Job, Plan]]:
    """The plans with their catch-up claims held back: the oldest until *start*, each further one *apart* more."""
    late = sorted(claim.slot for _job, made in plans for claim in made.claims if claim.origin is Origin.CATCH_UP)
    if not late:
        return list(plans)
    turn = {slot: start + place * apart for place, slot in enumerate(sorted(late, key=lambda slot: slot.due_at))}
    return [
        (job, made._replace(claims=tuple(claim._replace(not_before=turn.get(claim.slot)) for claim in made.claims)))
        for job, made in plans
    ]


# -- one job


def _usual(job: Job, standing: Standing, now: datetime) -> Plan | None:
    """The plan of most passes, in fewer steps: nothing came due, or one live slot of a job of which nothing is open.

    None where there is more to decide. The long way would say the same (a property test compares them).
    """
    if standing.running or standing.waiting or standing.pauses or job.jitter or not job.enabled:
        return None
    dues = job.trigger.after(standing.planned_through)
    due = next(dues, None)
    if due is None or due > now:
        return Plan(now)
    following = next(dues, None)
    if now - due > LIVE_WITHIN or (following is not None and following <= now):
        return None
    claim = _claim(job, Slot(job.name, due, standing.generation), now)
    return Plan(now, (claim,), cancels_previous=_cancels(job, (claim,)))


def _at_length(job: Job, standing: Standing, now: datetime, *, latest_only: bool, held_from: datetime | None) -> Plan:
    through = _planned_through(job, standing.planned_through, now)
    gathered = _gather(job, standing, through, now, _when_older_goes(job, latest_only=latest_only))
    kept = _catch_up(job, gathered, now, latest_only=latest_only)
    claims = _overlap(job, standing, kept, gathered)
    skipped = tuple(_stretches(gathered, held_from))
    return Plan(through, tuple(_claim(job, due.slot, now) for due in claims), skipped, _cancels(job, claims))


def _planned_through(job: Job, marker: datetime, now: datetime) -> datetime:
    """How far planning may advance: not past a slot whose jitter is still to come."""
    if job.jitter:
        for slot in slots(job, max(marker, now - job.jitter), now):
            if planned_at(job, slot) > now:
                return slot.due_at - _MILLISECOND
    return now


def _gather(job: Job, standing: Standing, through: datetime, now: datetime, older: SkipReason) -> Gathered:
    """Everything due, split into what may still be run and what is past it, paused, disabled or *older* than many."""
    gathered = Gathered()
    within = LIVE_WITHIN if job.catch_up == "none" else max(job.window, LIVE_WITHIN)
    marker = count_off(
        job,
        gathered,
        standing.planned_through,
        through,
        generation=standing.generation,
        pauses=standing.pauses,
        expired_before=now - within,
        older=older,
    )
    for due in map(Due._make, enumerate(slots(job, marker, through, standing.generation), gathered.counted)):
        if not job.enabled:
            gathered.skip(due, SkipReason.DISABLED)
        elif any(pause.covers(due.slot.due_at) for pause in standing.pauses):
            gathered.skip(due, SkipReason.PAUSED)
        elif now - planned_at(job, due.slot) > within:
            gathered.skip(due, SkipReason.EXPIRED)
        else:
            gathered.open.append(due)
            if len(gathered.open) > KEPT:
                gathered.skip(gathered.open.popleft(), older)
    return gathered


def _when_older_goes(job: Job, *, latest_only: bool) -> SkipReason:
    """Why a slot inside the window but not among the newest has no run."""
    return SkipReason.CAP if job.catch_up == "all" and not latest_only else SkipReason.COALESCED


def _catch_up(job: Job, gathered: Gathered, now: datetime, *, latest_only: bool) -> list[Due]:
    """The slots still to run, by the job's policy; the others are skipped.

    A slot of the last fifteen seconds is live, not missed. Of several live ones only `all` runs more than the newest.
    """
    found = list(gathered.open)
    if job.catch_up == "all" and not latest_only:
        missed = sum(now - planned_at(job, due.slot) > LIVE_WITHIN for due in found)
        cut = max(missed - CATCH_UP_MOST, 0)
    else:
        cut = max(len(found) - 1, 0)
    gathered.skip_all(found[:cut], _when_older_goes(job, latest_only=latest_only))
    return found[cut:]


def _overlap(job: Job, standing: Standing, kept: list[Due], gathered: Gathered) -> list[Due]:
    """The slots that become runs beside what is open of the job; the others are skipped."""
    room, reason = _room(job, standing, len(kept))
    if job.overlap == "cancel_previous":  # only the newest could survive
        gathered.skip_all(kept[:-1], SkipReason.COALESCED)
        return kept[-1:]
    gathered.skip_all(kept[room:], reason)
    return kept[:room]


def _room(job: Job, standing: Standing, wanted: int) -> tuple[int, SkipReason]:
    """How many more runs the job may have, and why a further slot gets none."""
    occupied = standing.running + standing.waiting
    match job.overlap:
        case "skip":
            return (0 if occupied else wanted), SkipReason.OVERLAP
        case "queue_one":
            return (wanted if not occupied else max(1 - standing.waiting, 0)), SkipReason.OVERLAP
        case "allow":
            return max(job.max_instances - occupied, 0), SkipReason.OVERLAP
        case _:
            return max(WAITING_MOST - standing.waiting, 0), SkipReason.CAP


def _cancels(job: Job, claims: Sequence[object]) -> bool:
    return bool(claims) and job.overlap == "cancel_previous"


def _claim(job: Job, slot: Slot, now: datetime) -> Claim:
    planned = planned_at(job, slot)
    origin = Origin.SCHEDULE if now - planned <= LIVE_WITHIN else Origin.CATCH_UP
    return Claim(slot, origin, planned)


def _stretches(gathered: Gathered, held_from: datetime | None) -> Iterator[SkippedStretch]:
    """The tallies as stretches. What came due while calendar jobs were on hold says so, whatever else held it back."""
    for tally in gathered.tallies:
        if tally.count > GAP_ABOVE or held_from is None or tally.reason in (SkipReason.PAUSED, SkipReason.DISABLED):
            yield tally.stretch()
            continue
        held = [slot for slot in tally.slots if slot.due_at >= held_from]
        for part, reason in (
            ([slot for slot in tally.slots if slot.due_at < held_from], tally.reason),
            (held, SkipReason.CLOCK_HOLD),
        ):
            if part:
                yield SkippedStretch(reason, part[0], part[-1], len(part), tuple(part))
