"""The judge on policies: did each claim, each skip and all runs together keep to what the definitions promise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise

from echopilot_jobs.jobs import Job
from echopilot_jobs.simulator.evidence import FAR, SETTLING, Era, Evidence, G, planned
from echopilot_jobs.simulator.truth import Effect
from echopilot_jobs.simulator.watch import ENDS, Row, Sight

PLANNED = ("schedule", "catch_up")
CAUGHT_UP_MOST = {"none": 0, "latest": 1, "all": 10}
WAITING_MOST = 100
PACE = 5.0
GRAIN = 1e-5  # of moments made from seconds in floating point


def claims(record: Evidence, name: str) -> Iterator[str]:
    """I1, I3, I4, I8: no slot twice, none too early, too late, in a pause or beside more than the overlap rule allows."""
    slots: set[tuple[int, int]] = set()
    before: dict[int, float] = {}
    passes: dict[float, list[Row]] = defaultdict(list)
    for sights in record.by_job[name]:
        row, at = sights[0].row, sights[0].at
        era = record.era(name, at)
        if row["slot_at"] is None or row["origin"] == "retry" or era is None:
            continue
        slot = (row["slot_at"], row["generation"] if era.job.trigger.follows_real_time else 0)
        if slot in slots:
            yield f"I1 {name}: slot {row['slot_at']} was claimed twice"
        slots.add(slot)
        if row["origin"] in PLANNED:
            yield from _again(record, era.job, row["slot_at"], before.get(row["slot_at"]), at)
            before[row["slot_at"]] = at
            passes[at].append(row)
            if (early := planned(row) - record.latest_shown(at)) > GRAIN:
                yield f"I3 {name}: slot {row['slot_at']} was claimed {early:.4f} s before its moment"
    for at, rows in passes.items():
        then = record.era(name, at)
        if then is not None:
            for row in rows:
                yield from _one_claim(record, then, at, row)
            yield from _one_pass(record, then, at, rows)


def _again(record: Evidence, job: Job, slot: int, before: float | None, at: float) -> Iterator[str]:
    """I18: a moment of an interval job comes again only where it would be silent for longer than its interval else."""
    far = min(job.trigger.period.total_seconds(), FAR) - SETTLING
    if before is not None and (back := record.set_back(before - 1.0, at)) < far:
        yield f"I18 {job.name}: slot {slot} came again, the clock was set back by no more than {back:g} s"


def _one_claim(record: Evidence, era: Era, at: float, row: Row) -> Iterator[str]:
    job, slot, due, now = era.job, row["slot_at"], planned(row), row["claimed_at"] / 1000
    if slot not in record.slots(job, slot - 1, slot) or due > now:
        yield f"I3 {job.name}: slot {slot} was claimed at {now:.3f}, planned for {due:.3f}"
    if not 0 <= due - slot <= min(job.jitter.total_seconds(), record.distance(job, slot) / 2):
        yield f"I3 {job.name}: slot {slot} was planned {due - slot:g} s later"
    if now - due > record.window(job) + 0.01:
        yield f"I4 {job.name}: slot {slot} ran {now - due:.0f} s late, outside its window"
    if record.paused(job.name, slot, at) or not job.enabled:
        yield f"I4 {job.name}: slot {slot} was claimed although the job was paused or disabled"
    if slot <= record.floor(era, at):
        yield f"I2 {job.name}: slot {slot} of before its definition was claimed"


def _one_pass(record: Evidence, era: Era, at: float, rows: list[Row]) -> Iterator[str]:
    """All claims of one job that one transaction made."""
    job, count = era.job, len(rows)
    late = sum(row["claimed_at"] / 1000 - planned(row) > G for row in rows)
    if late > CAUGHT_UP_MOST[job.catch_up]:
        yield f"I18 {job.name}: {late} slots were caught up at once under '{job.catch_up}'"
    if not job.trigger.follows_real_time and record.distrusted(at):
        yield f"I18 {job.name}: slots were claimed while the clock was not to be trusted"
    backlog = sum(s[0].row["origin"] == "catch_up" and s[0].at <= at for s in record.seen.moves.values())
    held_back = max((row["not_before"] or 0) - row["claimed_at"] for row in rows) / 1000
    if held_back > 15.0 + PACE * backlog and not any(row["hold_id"] for row in rows):
        yield f"I18 {job.name}: a backlog of at most {backlog} is to wait for {held_back:.0f} s"
    running, waiting = record.busy(job.name, at)
    free = {
        "skip": not running + waiting,
        "queue_one": not running + waiting or waiting + count <= 1,
        "allow": running + waiting + count <= job.max_instances,
        "queue_all": waiting + count <= WAITING_MOST,
        "cancel_previous": count <= 1,
    }[job.overlap]
    if not free:
        yield f"I8 {job.name}: {count} claimed beside {running} running and {waiting} waiting ({job.overlap})"
    if job.overlap == "cancel_previous" and record.steady(at, at + SETTLING):
        yield from _gave_way(record, job.name, at)


def _gave_way(record: Evidence, name: str, at: float) -> Iterator[str]:
    """Twenty seconds after a claim under `cancel_previous` no older run is open; what went wrong is not told as a cancel."""
    for sights in record.by_job[name]:
        for before, after in pairwise(sights):
            if after.at == at and (before.row["state"], after.row["state"]) == ("retry_wait", "cancelled"):
                yield f"I12 run {after.row['id']} is told as cancelled, and nothing of it was left to cancel"
        row = next(sight.row for sight in reversed(sights) if sight.at <= at + SETTLING) if sights[0].at < at else None
        if row and row["owner"] not in (None, record.leader(at)):
            continue  # out of the leader's reach: its own scheduler was frozen and overtaken
        if row and row["slot_at"] is not None and row["rank"] < 2 and row["state"] not in ENDS:
            yield f"I8 {name}: run {row['id']} was to be cancelled for the next slot"


def skips(record: Evidence, name: str) -> Iterator[str]:
    """I4: a slot that got no run says truly why."""
    for sight in record.seen.skips:
        era = record.era(name, sight.at)
        if sight.row["job"] == name and era is not None and not _is_true(record, era, sight):
            yield f"I4 {name}: slot {sight.row['slot_at']} was not really skipped for '{sight.row['reason']}'"


def _is_true(record: Evidence, era: Era, sight: Sight) -> bool:
    job, slot, now = era.job, sight.row["slot_at"], sight.row["decided_at"] / 1000
    running, waiting = record.busy(job.name, sight.at)
    beside = [s.row["slot_at"] for s in record.seen.skips if s.row["job"] == job.name and s.at == sight.at]
    claimed = [s[0].row["slot_at"] for s in record.by_job[job.name] if s[0].at <= sight.at and s[0].row["slot_at"]]
    ours = sum(sights[0].at == sight.at for sights in record.by_job[job.name])
    leapt = any(abs(a.offset - b.offset) > FAR for a, b in pairwise(record.truth.turns))
    true: dict[str, Callable[[], bool]] = {
        "expired": lambda: now - slot > record.window(job) - 0.002,  # the ledger's grain
        "coalesced": lambda: any(slot < other <= now for other in [*claimed, *beside]),
        "cap": lambda: sum(other > slot for other in [*claimed, *beside]) >= 10 or waiting + ours >= WAITING_MOST,
        "overlap": lambda: running + waiting > 0 or (job.overlap == "allow" and ours >= job.max_instances),
        "paused": lambda: (
            record.paused(job.name, slot, sight.at, in_doubt=True) or record.pause_written(job.name, slot)
        ),
        "superseded": lambda: (
            any(era.start == sight.at for era in record.eras[job.name]) or not record.is_defined(job.name, sight.at)
        ),
        "disabled": lambda: not job.enabled,
        "clock_hold": lambda: leapt and not job.trigger.follows_real_time,
    }
    return sight.row["reason"] in true and true[sight.row["reason"]]()


def instances(record: Evidence, name: str) -> Iterator[str]:
    """I8: never more runs of a job at once than it may have, whoever asked for them and whatever outlived its scheduler."""
    effects = [effect for effect in record.truth.effects if effect.job == name]
    most = max((era.job.max_instances for era in record.eras[name]), default=1)
    yield from _together(record, effects, most, f"runs of {name}")


def groups(record: Evidence) -> Iterator[str]:
    """I8: never more runs of a group at once than its limit."""
    of_job = {name: {era.job.group for era in eras} for name, eras in record.eras.items()}
    for group, most in record.limits.items():
        effects = [effect for effect in record.truth.effects if of_job.get(effect.job) == {group}]
        yield from _together(record, effects, most, f"runs of group {group}")


def _together(record: Evidence, effects: list[Effect], most: int, what: str) -> Iterator[str]:
    edges = [(e.began, 1, e.run) for e in effects]
    edges += [(record.truth.ended + 1 if e.ended is None else e.ended, -1, e.run) for e in effects]
    count = 0
    for _, change, run in sorted(edges):
        count += change
        if count > most and change > 0:
            yield f"I8 run {run} was one of {count} {what} at once, {most} allowed"
