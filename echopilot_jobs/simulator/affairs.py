"""The judge on everything around the runs: who leads, what people were told, what the log says, how it all ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from echopilot_jobs.jobs import Job
from echopilot_jobs.simulator.evidence import HOLD, SETTLING, Era, Evidence, G
from echopilot_jobs.simulator.truth import Deed
from echopilot_jobs.simulator.watch import Row, Sight

WAIT_MOST = 25 * 3600.0  # a retry within a day, a backlog within an hour: nothing waits longer


def leases(record: Evidence) -> Iterator[str]:
    """I19: nobody takes the lease from a scheduler that lives and writes; each term starts up each job once."""
    starts: dict[tuple[str, int], int] = defaultdict(int)
    for sights in record.seen.moves.values():
        starts[sights[0].row["job"], sights[0].term] += sights[0].row["origin"] == "startup"
    for sight in record.seen.leases:
        term, at, before = sight.row["term"], sight.at, sight.row["before"]
        if before in (None, sight.row["owner"]):  # the same process, whose first try met a trouble
            continue
        if record.stayed(before, at) and sight.row["silent"] < G - 0.1 and not sight.row["given"]:
            yield f"I19 term {term} began while '{before}' led and lived"
        lasting = record.steady(at + 0.1, at + SETTLING) and record.stayed(sight.row["owner"], at + SETTLING)
        for name in record.eras:
            era = record.era(name, at + SETTLING)
            wanted = era is not None and era.end > at + SETTLING and era.job.on_startup and era.job.enabled
            wanted = wanted and era is not None and _was_given(record, sight, era.job)
            if starts[name, term] > 1 or (lasting and wanted and not starts[name, term]):
                yield f"I1 {name} started up {starts[name, term]} times in term {term}"


def _born(record: Evidence, lease: Sight) -> float:
    """When the process that took the lease began."""
    return next(stay.born for stay in record.truth.stays if stay.owner == lease.row["owner"])


def _was_given(record: Evidence, lease: Sight, job: Job) -> bool:
    """Whether the process that took the lease began with that definition: a later one starts nothing up."""
    born = _born(record, lease)
    return any(each.job == job and each.at <= born for each in record.truth.defined)


def definitions(record: Evidence) -> Iterator[str]:
    """I2: a scheduler that has been able to work for a while has written down every definition it was given."""
    for sight in record.seen.leases:
        born = _born(record, sight)
        at, given = sight.at + SETTLING, {d.name: d.job for d in record.truth.defined if d.at <= born}
        if not record.steady(sight.at + 0.1, at) or not record.stayed(sight.row["owner"], at):
            continue
        for name, job in given.items():
            known = [s.row["revision"] for s in record.seen.jobs if s.row["name"] == name and s.at <= at]
            if job is None or (record.has_leapt and not job.trigger.follows_real_time):
                continue  # a clock nobody trusts must not become a job's marker
            saved_since = {
                d.job.version for d in record.truth.defined if d.job and d.name == name and born < d.at <= at
            }
            if not {job.version, *saved_since} & {*known[-1:]} and record.leader(at) == sight.row["owner"]:
                yield f"I2 {name} is not in the ledger {SETTLING:g} s after its scheduler began"


def reloads(record: Evidence) -> Iterator[str]:
    """F64: a definition saved beside a scheduler that works is in force soon, without a restart."""
    for deed in record.truth.deeds:
        if deed.kind != "redefine" or not deed.facts["live"] or record.has_leapt:
            continue
        until, leader = deed.at + SETTLING, record.leader(deed.at)
        if leader is None or leader != record.leader(until) or not record.steady(deed.at, until):
            continue
        wanted = [d.job.version for d in record.truth.defined if d.job and d.name == deed.job and d.at >= deed.at]
        known = [s.row["revision"] for s in record.seen.jobs if s.row["name"] == deed.job and s.at <= until]
        if record.stayed(leader, until) and not {*wanted} & {*known[-1:]}:
            yield f"F64 {deed.job} was redefined and is not in force {SETTLING:g} s later"


def removals(record: Evidence) -> Iterator[str]:
    """I2: what a job owed before somebody removed it has a row once a scheduler has seen that."""
    for gone in (each for each in record.truth.defined if each.job is None):
        seen = [s for s in record.seen.jobs if s.row["name"] == gone.name and s.at >= gone.at]
        era = record.era(gone.name, gone.at) if seen else None
        if era is None or seen[0].row["is_defined"] or not record.one_clock(era.start - 1.0, gone.at):
            continue
        looked = seen[0].at + SETTLING
        if record.steady(seen[0].at, looked) and record.stayed(record.leader(seen[0].at) or "", looked):
            yield from _unaccounted(record, era, gone.at)


def _unaccounted(record: Evidence, era: Era, until: float) -> Iterator[str]:
    name, jitter = era.job.name, era.job.jitter.total_seconds()
    rows = {sights[0].row["slot_at"] for sights in record.by_job[name]}
    rows |= {sight.row["slot_at"] for sight in record.seen.skips if sight.row["job"] == name}
    gaps = [sight.row for sight in record.seen.gaps if sight.row["job"] == name]
    for slot in record.slots(era.job, record.wall(era.start), record.wall(until) - jitter - 1.0):
        if slot not in rows and not any(gap["first_at"] <= slot <= gap["last_at"] for gap in gaps):
            yield f"I2 {name}: nothing was written about slot {slot}, owed before it was removed"


def deeds(record: Evidence) -> Iterator[str]:
    """I24: what a person was told holds."""
    for deed in record.truth.deeds:
        for run in [deed.facts[key] for key in ("run", "second") if key in deed.facts] + deed.facts.get("runs", []):
            if run not in record.seen.moves:
                yield f"I24 run {run}, acknowledged to a person, does not exist"
        if deed.kind == "manual_again" and deed.facts["second"] != deed.facts["run"]:
            yield f"I24 one key made runs {deed.facts['run']} and {deed.facts['second']}"
        if deed.kind == "cancel" and _went_on(record, deed):
            yield f"I24 run {deed.facts['run']} worked after it was cancelled"
    for sights in record.seen.moves.values():
        for sight in sights:
            asked = sight.row["origin"] in ("manual", "backfill") or sight.row["state"] != "running"
            begins = not asked and sight in _starts(sights) and record.one_clock(sight.at - G, sight.at)
            if begins and record.paused(sight.row["job"], sight.wall, sight.at):
                yield f"I4 run {sight.row['id']} began while its job was paused"


def _starts(sights: list[Sight]) -> list[Sight]:
    """Where an attempt began: a run seen running again for another reason did not begin then."""
    seen: dict[int, Sight] = {}
    for sight in sights:
        if sight.row["state"] == "running":
            seen.setdefault(sight.row["attempt"], sight)
    return list(seen.values())


def _went_on(record: Evidence, deed: Deed) -> bool:
    later = deed.at + (SETTLING if deed.facts["state"] == "running" else 0.0)
    working = any(effect.ended is None or effect.ended > later for effect in record.effects[deed.facts["run"]])
    return working and (later == deed.at or record.steady(deed.at, later))


def log(record: Evidence) -> Iterator[str]:
    """What the log says happened did happen."""
    states = {(run, s.row["state"]) for run, sights in record.seen.moves.items() for s in sights}
    for _, _, event, facts in record.truth.log:
        ended = event == "run.finished" and facts["state"] != "retry_wait"
        if ended and (facts["run"], facts["state"]) not in states:
            yield f"I12 the log ends run {facts['run']} as {facts['state']}, the ledger does not"
        if event in ("slot.claimed", "run.queued", "run.started") and facts["run"] not in record.seen.moves:
            yield f"I9 the log knows run {facts['run']}, the ledger does not"


def at_rest(record: Evidence) -> Iterator[str]:
    """Undisturbed for long enough, nothing is stuck."""
    end = record.truth.ended
    if not record.turn(end).healthy:
        yield "I19 nobody leads at the end"
        return
    if record.held and record.steady(end - 2 * HOLD, end):
        yield "I18 calendar jobs are still on hold at the end"
    rows = record.seen.runs()
    running = {row["job"] for row in rows if row["state"] == "running"}
    for row in rows:
        working = any(e.ended is None or e.ended > end - G for e in record.effects[row["id"]])
        if row["state"] == "running" and not working and record.seen.moves[row["id"]][-1].at < end - G:
            yield f"I5 run {row['id']} is running at the end, and nothing works on it"
        ahead = (row["not_before"] or row["claimed_at"]) / 1000 - record.wall(end)
        if row["state"] in ("queued", "retry_wait") and row["not_before"] is not None and ahead > WAIT_MOST:
            yield f"I18 run {row['id']} waits for a moment {ahead:.0f} s ahead"
        free = row["job"] not in running and all(_is_free(record, row["job"], at) for at in (end - SETTLING, end))
        if row["state"] in ("queued", "retry_wait") and ahead < -SETTLING and free and not _crowded(record, row):
            yield f"I2 run {row['id']} still waits at the end and nothing hinders it"


def _is_free(record: Evidence, name: str, at: float) -> bool:
    """Whether nothing of the job ran and nobody had paused it, not even somebody who was never told so."""
    paused = record.paused(name, record.wall(at), at, in_doubt=True) or record.pause_written(name, record.wall(at))
    return not record.busy(name, at)[0] and not paused


def _crowded(record: Evidence, row: Row) -> bool:
    """Whether its group or the engine may be full."""
    group = {era.job.group for era in record.eras[row["job"]]} - {None}
    return bool(group) or sum(other["state"] == "running" for other in record.seen.runs()) >= 8
