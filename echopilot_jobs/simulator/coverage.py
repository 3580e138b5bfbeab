"""What a run of many histories has exercised: one that never met a policy or a fault proves nothing about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from echopilot_jobs.runs import Origin, State
from echopilot_jobs.simulator.engine import ZOO
from echopilot_jobs.simulator.faults import KINDS
from echopilot_jobs.simulator.histories import DEEDS
from echopilot_jobs.simulator.play import Verdict
from echopilot_jobs.slots import SkipReason

SHARE = 0.05
ENOUGH = 500  # below so many histories a share says nothing
# What is rare by its nature, with the share it must have nonetheless.
RARE = {
    "skip:clock_hold": 0.001,
    "skip:cap": 0.002,
    "skip:superseded": 0.001,
    "skip:disabled": 0.02,
    "skip:paused": 0.02,
    "state:timed_out": 0.02,
    "state:cancelled": 0.02,
    "origin:retry": 0.02,
    "origin:backfill": 0.02,
    "hold": 0.005,
    "deed:answer": 0.001,
    "deed:resume": 0.01,
    "deed:cancel": 0.01,
    "deed:backfill": 0.02,
    "deed:pause": 0.02,
    "deed:redefine": 0.01,
    "deed:remove": 0.01,
    "gap": 0.02,
    "trigger:Until": 0.02,
    "trigger:EveryBetween": 0.02,
    "trigger:Weekly": 0.03,
    "web died": 0.02,
}
# Promised by the closed sets, and not decided by the planner yet or ever in a simulation.
NEVER = {"skip:dst_gap", "skip:operator", "state:queued", "state:running", "state:retry_wait"}


def features(verdict: Verdict) -> set[str]:
    """What this history exercised."""
    return set(_features(verdict))


def _features(verdict: Verdict) -> Iterator[str]:
    for job in verdict.history.jobs:
        yield from (f"catch_up:{job.catch_up}", f"overlap:{job.overlap}", f"trigger:{type(job.trigger).__name__}")
        facts = {"idempotent": job.idempotent, "retries": job.retries, "jitter": job.jitter, "group": job.group}
        facts |= {"on_startup": job.on_startup, "disabled": not job.enabled, "window": job.catch_up_window}
        yield from (f"job:{name}" for name, value in facts.items() if value)
    yield from (f"beast:{beast.kind}" for beast in verdict.history.beasts.values())
    yield from (f"fault:{kind}" for _, kind, _ in verdict.truth.faults)
    yield from (f"deed:{deed.kind}" for deed in verdict.truth.deeds)
    for row in verdict.seen.runs():
        yield from (f"origin:{row['origin']}", f"state:{row['state']}")
        if row["hold_id"]:
            yield "hold"
    yield from (f"skip:{sight.row['reason']}" for sight in [*verdict.seen.skips, *verdict.seen.gaps])
    if verdict.seen.gaps:
        yield "gap"
    if any(intent.dies_at for intent in verdict.history.intents):
        yield "web died"


def wanted() -> set[str]:
    """Everything that must have been met."""
    found = {f"catch_up:{word}" for word in ("latest", "all", "none")}
    found |= {f"overlap:{word}" for word in ("skip", "queue_one", "queue_all", "cancel_previous", "allow")}
    found |= {f"trigger:{word}" for word in ("Every", "EveryBetween", "DailyAt", "Weekly", "Cron", "Until")}
    words = ("idempotent", "retries", "jitter", "group", "on_startup", "disabled", "window")
    found |= {f"job:{word}" for word in words} | {f"beast:{kind}" for kind in ZOO}
    found |= {f"fault:{kind}" for kind in KINDS} | {f"deed:{kind}" for kind in (*DEEDS, "remove")}
    found |= {f"origin:{word}" for word in Origin} | {f"state:{word}" for word in State}
    return (found | {f"skip:{word}" for word in SkipReason} | {"hold", "gap", "web died"}) - NEVER


def missing(counts: Counter[str], histories: int) -> list[str]:
    """What was met in too few of so many *histories*; nothing is asked of a small number."""
    if histories < ENOUGH:
        return []
    least = {name: RARE.get(name, SHARE) * histories for name in wanted()}
    return [f"{name}: {counts[name]} of {histories}" for name, most in sorted(least.items()) if counts[name] < most]


def table(counts: Counter[str], histories: int) -> Iterable[str]:
    """One line for each thing met or wanted."""
    for name in sorted(wanted() | set(counts)):
        yield f"{name:28} {counts[name]:6} {100 * counts[name] / max(histories, 1):5.1f} %"
