"""What a soak prints: a table of what was done and what it came to, every broken promise, one line of verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from echopilot_jobs.cli import out
from tests.soak.soak import Soak

SHOWN_MOST = 12
COUNTED = ("lost", "doubled", "unclaimed", "overlapping", "running", "orphan")


def tell(done: Soak) -> None:
    """The table and the findings of one soak, on standard output."""
    out.facts(list(_facts(done)))
    for kind, count in done.kinds.items():
        out.heading(f"{kind}: {count}")
        found = [finding for finding in done.findings if finding.kind == kind]
        for finding in found[:SHOWN_MOST]:
            out.line(f"  {finding.text}")
        if count > SHOWN_MOST:
            out.line(f"  and {count - SHOWN_MOST} more")


def _facts(done: Soak) -> Iterator[tuple[str, object]]:
    evidence, kinds = done.evidence, done.kinds
    events = Counter(line["event"] for line in evidence.log)
    states = Counter(run["state"] for run in evidence.runs.values())
    reasons = Counter(skip["reason"] for skip in evidence.skips)
    yield "storm", f"{done.seconds:g} s, seed {done.seed}, {done.blows.counts.total()} blows"
    yield from ((f"  {whom}", text) for whom, text in done.blows.by_target())
    yield "takeovers", f"{len(evidence.stints) - 1}, longest without a leader {_longest_silence(done):.1f} s"
    yield "stepped down", f"lock lost {events['lock.lost']}, lease lost {events['lease.lost']}"
    yield "runs", f"{len(evidence.runs)}: {_counted(states)}"
    yield "skips", f"{len(evidence.skips)}: {_counted(reasons)}" if evidence.skips else 0
    yield "effects", sum(1 for _ in evidence.begins())
    yield "swept", f"{sum(line['count'] for line in evidence.log if line['event'] == 'processes.swept')} processes"
    yield "late outcomes", f"{events['run.finish_refused']} refused"
    if done.answers:
        yield "web answers", _counted(Counter({str(status or "none"): n for status, n in done.answers.items()}))
        yield "promised runs", len({record["key"] for record in evidence.noted("promised")})
    yield "log lines", f"{len(evidence.log)}, torn ends repaired {events['log.repaired']}"
    yield from ((kind, kinds[kind]) for kind in COUNTED)
    others = {kind: count for kind, count in kinds.items() if kind not in COUNTED}
    yield "other findings", _counted(Counter(others)) if others else 0


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _longest_silence(done: Soak) -> float:
    """Seconds between the last beat of one term and the beginning of the next, at most."""
    gaps = [latter["started_at"] - former["beat_at"] for former, latter in pairwise(done.evidence.stints)]
    return max(gaps, default=0) / 1000
