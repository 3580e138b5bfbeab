"""A history as a person can read it: what was planned, what happened when, and which promise broke."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from echopilot_jobs.clock import EPOCH, iso
from echopilot_jobs.simulator.play import Verdict
from echopilot_jobs.simulator.watch import Sight

LINES_MOST = 400
NOISE = ("run.started", "run.finished", "slot.claimed", "slot.skipped", "run.queued")


def trace(verdict: Verdict, most: int = LINES_MOST) -> str:
    """The whole history in order of true time, its noise left out."""
    lines = sorted(_lines(verdict), key=lambda line: line[0])
    shown = [f"{at:12.3f} {words}" for at, words in lines[:most]]
    if len(lines) > most:
        shown.append(f"… {len(lines) - most} lines more")
    return "\n".join([str(verdict.history), *shown, *(f"BROKEN {words}" for words in verdict.broken[:20])])


def _lines(verdict: Verdict) -> Iterator[tuple[float, str]]:
    truth, seen = verdict.truth, verdict.seen
    for turn in truth.turns:
        yield turn.at, f"---- {'healthy' if turn.healthy else 'unhealthy'}, wall off by {turn.offset:g} s ({turn.why})"
    yield from ((at, f"!!!! {kind}, {where}") for at, kind, where in truth.faults)
    for sights in seen.moves.values():
        yield from ((sight.at, _run(sight)) for sight in sights)
    for sight in seen.skips:
        row = sight.row
        yield sight.at, f"skip {row['job']} {_slot(row['slot_at'])} g{row['generation']}: {row['reason']}"
    for sight in seen.gaps:
        row = sight.row
        yield (
            sight.at,
            f"gap  {row['job']} {_slot(row['first_at'])} to {_slot(row['last_at'])}, {row['count']}: {row['reason']}",
        )
    yield from ((s.at, f"job  {s.row['name']} {s.row['revision']} defined={s.row['is_defined']}") for s in seen.jobs)
    yield from ((s.at, f"term {s.row['term']} of {s.row['owner']}") for s in seen.leases)
    yield from ((d.at, f"deed {d.kind} {d.job} {d.facts}") for d in truth.deeds)
    for effect in truth.effects:
        yield effect.began, f"work {effect.job} run {effect.run}#{effect.attempt} begins under {effect.owner}"
        if effect.ended is not None:
            yield (
                effect.ended,
                f"work {effect.job} run {effect.run}#{effect.attempt} ends: {effect.said}, known={effect.known}",
            )
    for at, owner, event, facts in truth.log:
        if event not in NOISE:
            yield at, f"log  {owner} {event} {facts}"
    yield from ((at, f"BUG  {words}") for at, words in truth.bugs)


def _run(sight: Sight) -> str:
    row = sight.row
    slot = _slot(row["slot_at"]) if row["slot_at"] else "no slot"
    wait = f" not before {iso(EPOCH + timedelta(milliseconds=row['not_before']))}" if row["not_before"] else ""
    error = f" ({row['error']})" if row["error"] else ""
    what = f"{row['id']} {row['job']} {slot} g{row['generation']} {row['origin']}"
    return f"run  {what}: {row['state']}#{row['attempt']}{wait}{error}"


def _slot(seconds: int) -> str:
    moment: datetime = EPOCH + timedelta(seconds=seconds)
    return f"{seconds} {iso(moment)[5:-1]}"
