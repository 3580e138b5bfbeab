"""The user's own jobs through virtual days with outages: the real planner, ledger and scheduler, and nothing really run."""

from __future__ import annotations

import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter

from echopilot_jobs.jobs import Job, Registry, slots
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.outages import Outage
from echopilot_jobs.records import record
from echopilot_jobs.runs import Run, State
from echopilot_jobs.simulator.engine import Beast
from echopilot_jobs.simulator.glimpses import glimpses, is_seen, often, slots_per_day
from echopilot_jobs.simulator.histories import History
from echopilot_jobs.simulator.life import RESTART
from echopilot_jobs.simulator.machine import Machine
from echopilot_jobs.simulator.play import stage
from echopilot_jobs.slots import Gap

ZERO = timedelta(0)
NOMINAL = timedelta(seconds=20)
LAST_BREATH = timedelta(seconds=0.05)
LINGER = timedelta(minutes=2)  # what came due at the very end may still start
STEP = timedelta(hours=6)  # how often a caller is told how far it is
SELDOM = timedelta(hours=1)  # how often it beats though nothing is due, and checkpoints: its lease and file are its own
MOVES_MOST = 20_000  # slots of one rehearsal: some ten seconds of work
SHORTEST, LONGEST = timedelta(seconds=30), timedelta(hours=12)

Dark = tuple[datetime, datetime]
Told = Callable[[float], None]
Event = tuple[datetime, Callable[[], timedelta]]  # when, and what then happens; it tells how much time that took


@record(frozen=True)
class Fate:
    """What became of one slot: when its run began, or why it has none, and in which outage it was missed."""

    slot_at: datetime
    what: str  # ran, caught up, skipped, lost
    run_at: datetime | None = None
    state: State | None = None
    reason: str | None = None
    outage: Outage | None = None
    is_taken: bool = False

    def missed_in(self, dark: Sequence[Dark]) -> Dark | None:
        """The one of *dark* that its outage is, which the scheduler knows from its last sign of life on, a moment earlier."""
        if self.outage is None:
            return None
        since, until = self.outage.since, self.outage.until
        return next(((start, end) for start, end in dark if start < until and since < end), (since, until))


@record(frozen=True)
class Account:
    """All slots of one job: how many came to what, and one by one those that did not simply run."""

    job: Job
    slots: int
    counts: Counter[str]
    odd: tuple[Fate, ...]
    taken: int = 0  # of those that ran: not lived, but taken to have run as their neighbours did


def rehearse(
    registry: Registry,
    dark: Sequence[Dark],
    began_at: datetime,
    ended_at: datetime,
    *,
    takes: timedelta = NOMINAL,
    failing: Sequence[str] = (),
    tell: Told = lambda _share: None,
) -> list[Account]:
    """Live from *began_at* to *ended_at* (aware), dark during each of *dark*, and account for every slot of every job.

    A run takes as long as *takes* and succeeds, but for the *failing* jobs. *tell* hears the share that is done.
    """
    with lived(registry, dark, began_at, ended_at, takes=takes, failing=failing, tell=tell) as fates_of:
        return [_account(job, fates_of(job)) for job in registry.values()]


@contextlib.contextmanager
def lived(
    registry: Registry,
    dark: Sequence[Dark],
    began_at: datetime,
    ended_at: datetime,
    *,
    takes: timedelta = NOMINAL,
    failing: Sequence[str] = (),
    tell: Told = lambda _share: None,
) -> Iterator[Callable[[Job], Iterator[Fate]]]:
    """As `rehearse` lives; inside the block, what gives the fate of every slot of a job, oldest first."""
    beasts = {
        name: Beast("raises" if name in failing else "quick", takes.total_seconds(), is_steady=True)
        for name in registry
    }
    often_names, seen = often(registry, takes, failing), glimpses(dark, began_at, ended_at)
    with stage(_history(registry, began_at, beasts)) as machine:
        live(machine, dark, began_at, ended_at, tell, _reloads(machine, seen, often_names, ended_at))
        with contextlib.closing(SqliteLedger(machine.disk.path, create=False)) as ledger:
            past = Past(ledger, began_at, ended_at)
            yield lambda job: past.fates_of(job, seen if job.name in often_names else None)


def _history(registry: Registry, began_at: datetime, beasts: dict[str, Beast]) -> History:
    return History(0, began_at, tuple(registry.values()), beasts, (), (), (), dict(registry.group_limits))


def live(
    machine: Machine,
    dark: Sequence[Dark],
    began_at: datetime,
    ended_at: datetime,
    tell: Told = lambda _share: None,
    script: Sequence[Event] = (),
) -> None:
    """Let the first scheduler of *machine* live, rebooted after every stretch of *dark*, with *script* in between."""
    machine.renew_every = machine.checkpoint_every = SELDOM
    machine.disk.on_commit = lambda _writer, _tables: None  # nobody judges; what the ledger has at the end is enough
    machine.first.start()
    outages: list[Event] = [(start - LAST_BREATH, partial(_go_dark, machine, end - start)) for start, end in dark]
    the_end: Event = (ended_at + LINGER, lambda: ZERO)
    at = began_at
    for moment, act in [*sorted([*outages, *script], key=itemgetter(0)), the_end]:
        while at < moment:
            at = min(at + STEP, moment)
            _up_to(machine, (at - began_at).total_seconds())
            tell(min((at - began_at) / (ended_at - began_at), 1.0))
        at += act()


def _go_dark(machine: Machine, length: timedelta) -> timedelta:
    if machine.first.process is not None:
        machine.first.process.ring()  # it beats seldom here: have its last sign of life be as near as ever
    machine.world.run_until(machine.world.active + LAST_BREATH.total_seconds() / 2)  # what is due just then is missed
    machine.crash((length + LAST_BREATH / 2).total_seconds() - RESTART, power=False)
    return LAST_BREATH + length


def _reloads(machine: Machine, seen: Sequence[Dark], often: frozenset[str], ended_at: datetime) -> list[Event]:
    """The *often* jobs go and come back between one stretch of *seen* and the next."""

    def reload(names: Container[str]) -> timedelta:
        machine.jobs = {job.name: job for job in machine.history.jobs if job.name in names}
        machine.reload(live=True)
        return ZERO

    every = frozenset(job.name for job in machine.history.jobs)
    comings = [(start, partial(reload, every)) for start, _ in seen[1:]]
    goings = [(end, partial(reload, every - often)) for _, end in seen]
    return [event for event in [*comings, *goings] if event[0] < ended_at] if often else []


def _up_to(machine: Machine, true: float) -> None:
    machine.world.run_until(max(true - machine.world.asleep, machine.world.active))


def _account(job: Job, fates: Iterator[Fate]) -> Account:
    counts: Counter[str] = Counter()
    odd, taken = [], 0
    for fate in fates:
        taken += fate.is_taken
        is_plain = fate.what == "ran" and fate.state is State.SUCCEEDED
        counts[fate.reason or (fate.what if is_plain or fate.what != "ran" else f"ran, {fate.state}")] += 1
        if not is_plain:
            odd.append(fate)
    return Account(job, counts.total(), counts, tuple(odd), taken)


class Past:
    """What *ledger* has of the slots in (*began_at*, *ended_at*]: read once, however many jobs it is then asked about."""

    def __init__(self, ledger: SqliteLedger, began_at: datetime, ended_at: datetime) -> None:
        self._ledger = ledger
        self._lived = (began_at, ended_at)
        span = (began_at, ended_at + timedelta(seconds=1))
        self._runs = {(run.job_name, run.slot.due_at): run for run in ledger.runs_between(*span) if run.slot}
        self._skips = {(skip.slot.job_name, skip.slot.due_at): skip for skip in ledger.skips_between(*span)}
        self._gaps: dict[str, list[Gap]] = defaultdict(list)
        for gap in ledger.gaps_between(*span):
            self._gaps[gap.job_name].append(gap)

    def fates_of(self, job: Job, seen: Sequence[Dark] | None = None) -> Iterator[Fate]:
        """The fate of every slot of *job*, oldest first. Those not *seen* are taken to have run."""
        for slot in slots(job, *self._lived):
            due = slot.due_at
            if seen is not None and not is_seen(due, seen):
                yield Fate(due, "ran", due, State.SUCCEEDED, is_taken=True)
            else:
                yield self._fate(job.name, due)

    def _fate(self, name: str, due: datetime) -> Fate:
        if run := self._runs.get((name, due)):
            return self._of_run(run, due)
        if missed := self._skips.get((name, due)) or self._gap(name, due):
            return Fate(due, "skipped", reason=missed.reason.value, outage=missed.outage)
        return Fate(due, "lost")

    def _gap(self, name: str, due: datetime) -> Gap | None:
        return next((gap for gap in self._gaps[name] if gap.first <= due <= gap.last), None)

    def _of_run(self, run: Run, due: datetime) -> Fate:
        ran = Fate(due, "ran", run_at=run.started_at, state=run.state)
        if run.origin.value == "schedule":
            return ran
        missed = replace(ran, outage=self._ledger.outage_of(run.id))
        if run.started_at is None and not run.is_open:  # its backlog was answered without it
            return replace(missed, what="skipped", reason=run.error or run.state.value)
        return replace(missed, what="caught up")


def random_outages(count: int, seed: int, began_at: datetime, ended_at: datetime) -> list[Dark]:
    """*count* outages of half a minute to half a day, the same ones for the same arguments; fewer where they would meet."""
    dice = random.Random(f"outages:{seed}")
    found: list[Dark] = []
    for _ in range(count):
        start = began_at + dice.random() * (ended_at - began_at)
        length = SHORTEST * (LONGEST / SHORTEST) ** dice.random()
        found.append((start.replace(microsecond=0), min(start + length, ended_at).replace(microsecond=0)))
    return apart(found)


def apart(dark: Sequence[Dark]) -> list[Dark]:
    """The outages in order, those that meet or nearly meet made one, and too short ones left out."""
    found: list[Dark] = []
    for start, end in sorted(dark):
        if found and start - found[-1][1] < SHORTEST:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return [(start, end) for start, end in found if end - start >= SHORTEST / 2]


def affordable(
    registry: Registry,
    began_at: datetime,
    ended_at: datetime,
    *,
    outages: int = 0,
    takes: timedelta = NOMINAL,
    failing: Sequence[str] = (),
) -> datetime:
    """Up to when all slots can be lived through in a bearable time: *ended_at*, or earlier for jobs of every second."""
    a_day = timedelta(days=1)
    per_day = slots_per_day(registry, often(registry, takes, failing), outages, (ended_at - began_at) / a_day)
    return min(ended_at, began_at + a_day * (MOVES_MOST / per_day)) if per_day else ended_at
