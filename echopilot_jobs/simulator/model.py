"""The judge: what must hold of every history, worked out from the record and the ledger's rows alone.

It shares no decision with the product. Each finding begins with the promise that was broken. What the policies say about
single slots is in `policies`, and what surrounds the runs in `affairs`; this calls both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from echopilot_jobs.simulator.affairs import at_rest, deeds, definitions, leases, log, reloads, removals
from echopilot_jobs.simulator.evidence import FAR, HOLD, SETTLING, Era, Evidence, G
from echopilot_jobs.simulator.nominal import SLOTS_MOST
from echopilot_jobs.simulator.policies import claims, groups, instances, skips
from echopilot_jobs.simulator.watch import ENDS, Row, Sight
from echopilot_jobs.triggers import Every


def broken(record: Evidence) -> list[str]:
    """Every promise that did not hold, with the facts."""
    found = [f"bug: {words}" for _, words in record.truth.bugs] + record.seen.changed + record.seen.deposed
    for name in record.eras:
        found += [*_covered(record, name), *claims(record, name), *skips(record, name), *instances(record, name)]
    for sights in record.seen.moves.values():
        found += [*_one_run(record, sights), *_truthful(record, sights[-1].row), *_owner(record, sights)]
    return [
        *found,
        *groups(record),
        *leases(record),
        *definitions(record),
        *reloads(record),
        *removals(record),
        *deeds(record),
        *log(record),
        *at_rest(record),
    ]


# -- I2, I18: nothing is lost


def _covered(record: Evidence, name: str) -> Iterator[str]:
    singles: dict[int, list[float]] = defaultdict(list)
    for sights in record.by_job[name]:
        if sights[0].row["slot_at"] is not None and sights[0].row["origin"] != "retry":
            singles[sights[0].row["slot_at"]].append(sights[0].at)
    for sight in record.seen.skips:
        if sight.row["job"] == name:
            singles[sight.row["slot_at"]].append(sight.at)
    gaps = [sight for sight in record.seen.gaps if sight.row["job"] == name]
    for era in record.eras[name]:
        for after, until, since in _owed(record, era):
            yield from _missing(record, era, (after, until), since, singles, gaps)
        yield from _late(record, era, singles, gaps)
    for gap in gaps:
        then = record.era(name, gap.at - (1e-4 if gap.row["reason"] == "superseded" else 0.0))
        count = len(record.slots(then.job, gap.row["first_at"] - 1, gap.row["last_at"])) if then else 0
        if then and count != gap.row["count"] and (count < SLOTS_MOST or isinstance(then.job.trigger, Every)):
            yield f"I2 {name}: a gap of {count} slots says {gap.row['count']}"


def _owed(record: Evidence, era: Era) -> Iterator[tuple[float, float, float]]:
    """Stretches of wall time whose slots are owed: (after, until, how new their disposition must be)."""
    real, interval = era.job.trigger.follows_real_time, era.job.trigger.period.total_seconds()
    after = until = record.wall(era.start)
    since, offset = -1e9, record.turn(era.start).offset
    broke = real and not record.one_clock(era.start - 1.0, era.start)
    for start, end, turn in record.stretches(era):
        if not turn.healthy:
            continue
        step, offset = turn.offset - offset, turn.offset
        broke |= (step <= -1.0 or step > FAR) if real else abs(step) > FAR
        if end - start < SETTLING or (broke and not real and (record.held or record.stood(start) < HOLD)):
            continue
        if broke:  # an interval job may be silent for one interval; the calendar goes on where it was
            yield after, until, since
            after = until = record.base + start + offset + (min(max(interval, G / 2), FAR) if real else 0.0) + G
            since, broke = (start - 3.0 if real and step < 0 else -1e9), False
        until = max(until, record.base + end + offset - SETTLING)
    yield after, until, since


def _missing(
    record: Evidence,
    era: Era,
    owed: tuple[float, float],
    since: float,
    singles: dict[int, list[float]],
    gaps: list[Sight],
) -> Iterator[str]:
    after, until = owed[0], owed[1] - era.job.jitter.total_seconds()
    slots = record.slots(era.job, after, until)
    spans = [(gap.row["first_at"], gap.row["last_at"], gap.row["count"]) for gap in gaps if gap.at >= since]
    if len(slots) >= SLOTS_MOST:  # too many to look at each
        inside = [span for span in spans if after < span[0] and span[1] <= until]
        alone = sum(after < slot <= until and not any(a <= slot <= b for a, b, _ in inside) for slot in singles)
        missing = len(slots) - alone - sum(count for _, _, count in inside)
        if missing > 0 and isinstance(era.job.trigger, Every):
            yield f"I2 {era.job.name}: {missing} of {len(slots)} slots have no row"
        return
    for slot in slots:
        if not any(at >= since for at in singles.get(slot, ())) and not any(a <= slot <= b for a, b, _ in spans):
            yield f"I2 {era.job.name}: nothing was written about slot {slot}"


def _late(record: Evidence, era: Era, singles: dict[int, list[float]], gaps: list[Sight]) -> Iterator[str]:
    """Slots that came due while a scheduler could work, and were not disposed of within G."""
    real, offset, far = era.job.trigger.follows_real_time, record.turn(era.start).offset, False
    slack = era.job.jitter.total_seconds() + G
    for start, end, turn in record.stretches(era):
        step, offset = turn.offset - offset, turn.offset
        far |= abs(step) > FAR
        wait = era.job.trigger.period.total_seconds() if real and step else HOLD + 60.0 if far and not real else 0.0
        if not turn.healthy or end - start < SETTLING + wait + G:
            continue
        shift = record.base + offset
        known = record.reached(era.job, start) if real else record.wall(era.start)  # owes nothing of before
        for slot in record.slots(era.job, max(shift + start + SETTLING + wait, known), shift + end - slack - 1.0):
            least, most = slot - shift - 3.0 if real else -1e9, slot - shift + slack
            on_time = any(least <= at <= most for at in singles.get(slot, ()))
            if not on_time and not any(g.row["first_at"] <= slot <= g.row["last_at"] for g in gaps):
                yield f"I2 {era.job.name}: slot {slot} was not disposed of within {slack:g} s"


# -- I1, I5 to I8, I11, I12, I17: what runs do


def _one_run(record: Evidence, sights: list[Sight]) -> Iterator[str]:
    run, effects = sights[0].row["id"], record.effects[sights[0].row["id"]]
    claimed = {(s.row["attempt"], s.at) for s in sights if s.row["state"] == "running"}
    for effect in effects:
        if not any(attempt == effect.attempt and at <= effect.began for attempt, at in claimed):
            yield f"I11 run {run} attempt {effect.attempt} worked without a claim"
    if len({effect.attempt for effect in effects}) < len(effects):
        yield f"I1 run {run} did one attempt twice"
    retries = max(d.job.retries for d in record.truth.defined if d.job and d.name == sights[0].row["job"])
    if sum(effect.said in ("failed", "timed_out") and effect.known for effect in effects) > 1 + retries:
        yield f"I17 run {run} was tried {len(effects)} times"
    for one, other in pairwise(effects):
        if one.said == "ok" and one.known:
            yield f"I17 run {run} worked again after it had succeeded"
        rest, wait = other.began - (one.ended or 0.0), max(1.0, one.asked)
        if one.said in ("failed", "timed_out") and rest < wait and record.one_clock(one.began, other.began):
            yield f"I17 run {run} was tried again after {rest:.3f} s, not {wait:g} s"
    for before, after in pairwise(sights):
        early = before.row["not_before"] is not None and after.wall < before.row["not_before"] / 1000
        if after.row["state"] == "running" and early and record.one_clock(before.at - 1.0, after.at):
            yield f"I17 run {run} began before {before.row['not_before']}"
        if after.row["state"] == "running" and before.row["hold_id"] and not _answered(record, before.row, after):
            yield f"I2 run {run} of a backlog began before anybody answered"
        if before.row["state"] in ENDS:
            yield f"I6 run {run} went from {before.row['state']} to {after.row['state']}"


def _answered(record: Evidence, row: Row, sight: Sight) -> bool:
    """Whether a person spoke, or an hour went by; on a wall clock that stepped nobody can say."""
    spoken = any(deed.kind == "answer" and deed.at <= sight.at for deed in record.truth.deeds)
    return bool(spoken or row["claimed_at"] / 1000 + 3599.0 <= sight.wall or not record.one_clock(0.0, sight.at))


def _truthful(record: Evidence, row: Row) -> Iterator[str]:
    run, state = row["id"], row["state"]
    last = next((e for e in reversed(record.effects[run]) if e.attempt == row["attempt"]), None)
    seen = last.said if last and last.known else "never seen to end"
    allowed = {"succeeded": ("ok",), "timed_out": ("timed_out",), "failed": ("failed",)}
    if state in allowed and seen not in allowed[state]:
        yield f"I12 run {run} is told as {state}, and its work was {seen}"
    ended = (
        last.ended if last and last.known and last.said != "killed" else None
    )  # killed: by the stop of its scheduler
    if state == "abandoned" and last and ended and _could_write(record, last.owner, ended):
        yield f"I12 run {run} is told as abandoned, and its scheduler saw it end"


def _could_write(record: Evidence, owner: str, at: float) -> bool:
    """Whether the process had the time and the disk to write something down."""
    leads = record.leader(at) == owner == record.leader(at + SETTLING)
    return leads and record.stayed(owner, at + SETTLING) and record.steady(at, at + SETTLING)


def _cut_off(record: Evidence, sight: Sight) -> bool:
    """Whether its own scheduler, asked to stop, had killed the attempt."""
    effects = record.effects[sight.row["id"]]
    return any(
        e.said == "killed" and e.attempt == sight.row["attempt"] and (e.ended or 1e12) <= sight.at for e in effects
    )


def _owner(record: Evidence, sights: list[Sight]) -> Iterator[str]:
    """What a dead owner left is ended soon (I5); what a living one runs is not (I7)."""
    for before, after in pairwise(sights):
        died = record.died.get(before.row["owner"] or "")
        if after.row["state"] == "abandoned" and (died is None or died > after.at) and not _cut_off(record, after):
            yield f"I7 run {after.row['id']} was abandoned while its owner lived"
        if before.row["state"] == "running" and died is not None:
            lease = next((s.at for s in record.seen.leases if s.at > died), 1e12)
            if after.at > lease + G and record.steady(lease + 0.1, lease + G):
                yield f"I5 run {after.row['id']} stayed running {after.at - lease:.0f} s after the next start"
