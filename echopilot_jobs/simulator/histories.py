"""From a seed to a history: jobs of every policy, people who interfere, and faults."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from echopilot_jobs.jobs import Command, Inline, Job
from echopilot_jobs.records import record
from echopilot_jobs.simulator.engine import ZOO, Beast
from echopilot_jobs.simulator.faults import KINDS, Fault, draw
from echopilot_jobs.triggers import Cron, DailyAt, Every, EveryBetween, Trigger, Until, Weekly

ZONES = (
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Nuuk",
    "America/Havana",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Europe/Riga",
    "Asia/Tokyo",
)
INTERVALS = (1, 2, 3, 7, 10, 30, 60, 90, 300, 3600, 21_600, 86_400, 7 * 86_400, 30 * 86_400)
WINDOWS = (None, None, 0.0, 5, 60, 600, 7200, 86_400, 7 * 86_400)
DEEDS = ("manual", "manual", "manual_again", "cancel", "pause", "resume", "backfill", "redefine", "answer")
GROUP_LIMITS = {"g1": 1, "g2": 2}


@record(frozen=True)
class Intent:
    """What a person will want to do, *at* active seconds from the beginning."""

    at: float
    kind: str
    job: str
    number: int
    dies_at: int = 0  # the step at which the first web process that tries it is killed; 0: none


@record(frozen=True)
class Blow:
    """*kind* (kill, eio, full or lost_reply) at step number *step*, counted from the beginning or from the blow before."""

    step: int
    kind: str


@record(frozen=True)
class History:
    """Everything about one run of the simulator, from its seed alone."""

    seed: int
    began_at: datetime
    jobs: tuple[Job, ...]
    beasts: dict[str, Beast]
    later: tuple[Job, ...]  # definitions that replace those of the same name when somebody redefines
    intents: tuple[Intent, ...]
    faults: tuple[Fault, ...]
    group_limits: dict[str, int]
    exact: tuple[Blow, ...] = ()

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, from {self.began_at:%Y-%m-%d %H:%M:%S} UTC"]
        lines += [f"  job {describe(job)}; its work {self.beasts[job.name].kind}" for job in self.jobs]
        lines += [f"  later {describe(job)}" for job in self.later]
        lines += [f"  person at {wish.at:.1f} s: {wish.kind} {wish.job}" for wish in self.intents]
        lines += [f"  {blow.kind} at step {blow.step}" for blow in self.exact]
        return "\n".join([*lines, *(f"  fault {fault}" for fault in self.faults)])


def describe(job: Job) -> str:
    """A job in one line, with what differs from the defaults."""
    plain = Job(name=job.name, trigger=job.trigger, action=job.action)
    told = {name: value for name, value in vars(job).items() if value != getattr(plain, name)}
    return f"{job.name}: {job.trigger} {', '.join(f'{name}={value}' for name, value in told.items())}"


def history(seed: int) -> History:
    """The history of *seed*: the same one on every machine."""
    dice = random.Random(f"history:{seed}")
    began_at, zones = _beginning(dice)
    jobs = tuple(_job(dice, f"job{n}", began_at, zones) for n in range(dice.choice([1, 1, 2, 2, 3, 4])))
    beasts = {job.name: _beast(dice, job) for job in jobs}
    jobs = tuple(replace(job, timeout=_timeout(dice, beasts[job.name])) for job in jobs)
    later = tuple(_redefined(dice, job, began_at, zones) for job in jobs if dice.random() < 0.3)
    kinds = dice.sample(KINDS, dice.choice([1, 2, 3, 4, 6, len(KINDS)]))
    faults = tuple(draw(dice, kinds) for _ in range(dice.choice([0, 1, 1, 2, 2, 3, 4, 6, 9, 12])))
    intents = tuple(_intents(dice, jobs)) if dice.random() < 0.6 else ()
    intents += tuple(_removal(seed, jobs))
    if dice.random() < 0.05:
        jobs, faults, intents = _with_backlog(dice, jobs, faults, intents)
    return History(seed, began_at, jobs, beasts, later, intents, faults, GROUP_LIMITS)


def _with_backlog(
    dice: random.Random, jobs: tuple[Job, ...], faults: tuple[Fault, ...], intents: tuple[Intent, ...]
) -> tuple[tuple[Job, ...], tuple[Fault, ...], tuple[Intent, ...]]:
    """The same with everything down for more than a day, and a person who may say what becomes of the backlog."""
    week = timedelta(days=7)
    jobs = tuple(replace(job, catch_up=dice.choice(["all", "latest"]), catch_up_window=week) for job in jobs)
    down = Fault("down", "time", wait=dice.uniform(20, 120), amount=dice.uniform(90_000, 250_000))
    answer = Intent(down.wait + down.amount + dice.choice([20, 300]), "answer", jobs[0].name, 99)
    return jobs, (down, *faults[:2]), (*intents, *([answer] if dice.random() < 0.6 else []))


@cache
def _changes() -> tuple[tuple[datetime, str], ...]:
    """Moments a little before offset changes of our zones in 2026, and whose."""
    found = []
    for name in ZONES:
        zone = ZoneInfo(name)
        for day in (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(365)):
            halves = [day + timedelta(minutes=30 * n) for n in range(49)]
            if _offset(halves[0], zone) != _offset(halves[-1], zone):  # else there is no need to look closer
                pairs = pairwise(halves)
                found += [
                    (late - timedelta(minutes=15), name)
                    for early, late in pairs
                    if _offset(early, zone) != _offset(late, zone)
                ]
    return tuple(sorted(found))


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def _beginning(dice: random.Random) -> tuple[datetime, tuple[str, ...]]:
    """When a history begins, and in which zones its jobs live: by choice around a jump of those zones' clocks."""
    if dice.random() < 0.25:
        moment, zone = dice.choice(_changes())
        return moment + timedelta(seconds=dice.choice([0, 1800, 3600]) + dice.randrange(-3600, 840)), (zone,)
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=dice.randrange(365 * 86_400)), ZONES


def _job(dice: random.Random, name: str, began_at: datetime, zones: tuple[str, ...]) -> Job:
    overlap = dice.choice(["skip", "skip", "queue_one", "queue_all", "cancel_previous", "allow"])
    trigger = _trigger(dice, began_at, zones)
    facts: dict[str, Any] = {
        "catch_up": dice.choice(["latest", "all", "none"]),
        "catch_up_window": _seconds(dice.choice(WINDOWS)),
        "overlap": overlap,
        "max_instances": dice.choice([1, 2, 3]) if overlap == "allow" else 1,
        "retries": dice.choice([0, 0, 1, 2, 3, 5]),
        "idempotent": dice.random() < 0.4,
        "jitter": _fitting(trigger, dice.choice([0, 0, 0, 1, 5, 40])),
        "group": dice.choice([None, None, None, "g1", "g2"]),
        "on_startup": dice.random() < 0.25,
        "enabled": dice.random() < 0.93,
    }
    action = Inline("tick") if dice.random() < 0.12 else Command(("work", name))
    return Job(name=name, trigger=trigger, action=action, **facts)


def _trigger(dice: random.Random, began_at: datetime, zones: tuple[str, ...]) -> Trigger:
    """A rule with a slot near the beginning: that is where something can go wrong."""
    near = began_at + timedelta(seconds=dice.randrange(3, 150))
    if dice.random() < 0.6:
        interval = dice.choice(INTERVALS)
        phase = int(near.timestamp()) % interval
        return Every(timedelta(seconds=interval), timedelta(seconds=phase))
    zone = dice.choice(zones)
    local = near.astimezone(ZoneInfo(zone))
    return calendar_rule(dice, local, zone)


def calendar_rule(dice: random.Random, local: datetime, zone: str) -> Trigger:
    """A rule on the wall clock of *zone* with a moment within a quarter of an hour after *local*, or an irregular one."""
    at = local.time().replace(second=0, microsecond=0, fold=0)
    soon = (local + timedelta(minutes=1)).time()
    low = timedelta(seconds=dice.choice([5, 20, 100]))
    end = local.astimezone(UTC) + timedelta(seconds=dice.choice([30, 300]))
    every = Every(timedelta(seconds=dice.choice([7, 20, 60])))
    weekday = dice.choice(["*", "*", str(local.isoweekday() % 7)])
    rules: list[Callable[[], Trigger]] = [
        lambda: DailyAt(at, zone, dice.choice([1, 1, 1, 2])),
        lambda: DailyAt(at, zone),
        lambda: Weekly({local.weekday(), dice.randrange(7)}, at, zone),
        lambda: Cron(f"{soon.minute} {soon.hour} * * {weekday}", zone),
        lambda: Cron(f"{soon.minute} * * * *", zone),
        lambda: Cron(f"*/{dice.choice([15, 20, 30])} * * * *", zone),
        lambda: EveryBetween(low, low * dice.choice([2, 3])),
        lambda: Until(every, end),
    ]
    return dice.choice(rules)()


def _fitting(trigger: Trigger, seconds: float) -> timedelta:
    """A jitter that a job with that rule may have; none for very short intervals, which have too many slots in a day."""
    return (
        min(timedelta(seconds=seconds), trigger.period / 2) if trigger.period > timedelta(seconds=6) else timedelta(0)
    )


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _beast(dice: random.Random, job: Job) -> Beast:
    kind = dice.choice(ZOO) if dice.random() < 0.7 else "quick"
    period = min(job.trigger.period.total_seconds(), 120.0)
    seconds = {"quick": 0.3, "slow": period * 1.3, "orphan": min(period, 45.0)}.get(kind, 1.5)
    return Beast(kind, seconds)


def _timeout(dice: random.Random, beast: Beast) -> timedelta:
    if beast.kind == "hangs":
        return timedelta(seconds=dice.choice([2, 10, 25]))
    return timedelta(seconds=600)


def _redefined(dice: random.Random, job: Job, began_at: datetime, zones: tuple[str, ...]) -> Job:
    """The same job with other times, other limits, or both."""
    other = _job(dice, job.name, began_at, zones)
    if dice.random() < 0.5:
        return replace(job, trigger=other.trigger, jitter=other.jitter)
    return replace(other, trigger=job.trigger, jitter=job.jitter, action=job.action, timeout=job.timeout)


def _removal(seed: int, jobs: tuple[Job, ...]) -> Iterator[Intent]:
    """In one history of twelve somebody takes a job out of the jobs file; drawn apart, so that all others stay the same."""
    dice = random.Random(f"retired:{seed}")
    if dice.random() < 1 / 12:
        yield Intent(dice.uniform(5, 240), "remove", dice.choice(jobs).name, dice.randrange(100))


def _intents(dice: random.Random, jobs: tuple[Job, ...]) -> Iterator[Intent]:
    for number in range(dice.randrange(1, 7)):
        dies_at = dice.randrange(1, 25) if dice.random() < 0.3 else 0
        yield Intent(dice.uniform(0, 240), dice.choice(DEEDS), dice.choice(jobs).name, number, dies_at)
