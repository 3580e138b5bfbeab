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

from echopilot_jobs.jobs import Job, Registry, planned_at, slots
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.outages import Outage
from echopilot_jobs.records import record
from echopilot_jobs.runs import Origin, Run, State
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
    """What became of one slot: when its run began, or why it has none, and in which outage it was missed.

    *run_at* and *state* are those of the repetition where the first run was cut off and begun once more.
    """

    slot_at: datetime
    what: str  # ran, caught up, repeated, waiting, skipped, lost
    run_at: datetime | None = None
    state: State | None = None
    reason: str | None = None
    outage: Outage | None = None
    is_taken: bool = False
    first_run_at: datetime | None = None  # when the run began that was cut off, where it is repeated or waits to be
    planned_at: datetime | None = None  # when it was to be claimed, where a jitter moves that
    is_held: bool = False  # it waits for a person's word on its backlog

    @property
    def outcome(self) -> str:
        """What it is counted as: `ran`, `caught up`, `ran, abandoned`; `outcome_words` has it for a person."""
        ended_well = self.run_at is None or self.state is State.SUCCEEDED
        return self.what if ended_well else f"{self.what}, {self.state}"

    def missed_in(self, dark: Sequence[Dark]) -> Dark | None:
        """The one of *dark* that holds it, if it was missed; in a life too short to plan, all the time nobody planned.

        Its outage in the ledger may be longer: it goes on through lives that were too short for a scheduler.
        """
        if self.outage is None:
            return None
        planned_at = self.planned_at or self.slot_at
        held = ((start, end) for start, end in dark if start - LAST_BREATH <= planned_at < end)
        return next(held, (self.outage.since, self.outage.until))


def outcome_words(outcome: str) -> str:
    """The outcome of a fate as a person reads it, in a list that has commas of its own: `ran and timed out`."""
    what, _, state = outcome.partition(", ")
    return f"{what} and {State(state).words}" if state in {*State} else outcome


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
    nights = _joined(dark, 2 * LAST_BREATH)  # nearer to each other, no scheduler comes up between them
    outages: list[Event] = [(start - LAST_BREATH, partial(_go_dark, machine, end - start)) for start, end in nights]
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
        counts[fate.reason or fate.outcome] += 1
        if fate.outcome != "ran":
            odd.append(fate)
    return Account(job, counts.total(), counts, tuple(odd), taken)


class Past:
    """What *ledger* has of the slots in (*began_at*, *ended_at*]: read once, however many jobs it is then asked about."""

    def __init__(self, ledger: SqliteLedger, began_at: datetime, ended_at: datetime) -> None:
        self._ledger = ledger
        self._lived = (began_at, ended_at)
        span = (began_at, ended_at + timedelta(seconds=1))
        of_slots = [(run, (run.job_name, run.slot.due_at)) for run in ledger.runs_between(*span) if run.slot]
        self._runs = {key: run for run, key in of_slots if run.keeps_slot}
        self._repetitions = {key: run for run, key in of_slots if run.origin is Origin.RETRY}
        self._skips = {(skip.slot.job_name, skip.slot.due_at): skip for skip in ledger.skips_between(*span)}
        self._hold = ledger.waiting_hold()
        self._gaps: dict[str, list[Gap]] = defaultdict(list)
        for gap in ledger.gaps_between(*span):
            self._gaps[gap.job_name].append(gap)

    def fates_of(self, job: Job, seen: Sequence[Dark] | None = None) -> Iterator[Fate]:
        """The fate of every slot of *job*, oldest first. Those not *seen* are taken to have run."""
        for slot in slots(job, *self._lived):
            due = slot.due_at
            if seen is not None and not is_seen(due, seen):
                yield Fate(due, "ran", due, State.SUCCEEDED, is_taken=True)
            elif (start_at := planned_at(job, slot)) == due:
                yield self._fate(job.name, due)
            else:
                yield self._jittered(replace(self._fate(job.name, due), planned_at=start_at), start_at)

    def _jittered(self, fate: Fate, start_at: datetime) -> Fate:
        """A slot that was to be claimed only after the end is not lost."""
        return replace(fate, what="waiting") if fate.what == "lost" and start_at > self._lived[1] else fate

    def _fate(self, name: str, due: datetime) -> Fate:
        if run := self._runs.get((name, due)):
            return self._of_run(run, self._repetitions.get((name, due)), due)
        if missed := self._skips.get((name, due)) or self._gap(name, due):
            return Fate(due, "skipped", reason=missed.reason.value, outage=missed.outage)
        return Fate(due, "lost")

    def _gap(self, name: str, due: datetime) -> Gap | None:
        return next((gap for gap in self._gaps[name] if gap.first <= due <= gap.last), None)

    def _of_run(self, run: Run, repetition: Run | None, due: datetime) -> Fate:
        what, is_late = "ran", run.origin is not Origin.SCHEDULE
        outage, first_at = (self._ledger.outage_of(run.id) if is_late else None), None
        if repetition and (repetition.started_at or repetition.is_open):  # else it was dropped: the first one stands
            what, first_at, run = "repeated", run.started_at, repetition
        elif is_late:
            what = "caught up"
        fate = Fate(due, what, run.started_at, run.state, outage=outage, first_run_at=first_at)
        if run.started_at is not None:
            return fate
        if run.is_open:
            return replace(fate, what="waiting", is_held=self._is_held(run))
        return replace(fate, what="skipped", reason=run.error or run.state.value)  # by its backlog's answer, say

    def _is_held(self, run: Run) -> bool:
        return self._hold is not None and run.hold_id == self._hold.id


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
    return [(start, end) for start, end in _joined(dark, SHORTEST) if end - start >= SHORTEST / 2]


def _joined(dark: Sequence[Dark], nearer: timedelta) -> list[Dark]:
    """The outages in order, those *nearer* to each other than that made one."""
    found: list[Dark] = []
    for start, end in sorted(dark):
        if found and start - found[-1][1] < nearer:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


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


def crowding(
    registry: Registry,
    began_at: datetime,
    ended_at: datetime,
    *,
    outages: int = 0,
    takes: timedelta = NOMINAL,
    failing: Sequence[str] = (),
) -> list[str]:
    """The jobs that come due most often, so many of them that without them all can be lived up to *ended_at*."""
    crowd: list[str] = []
    for job in sorted(registry.values(), key=lambda job: job.trigger.period):
        rest = Registry([each for each in registry.values() if each.name not in crowd], registry.group_limits)
        if affordable(rest, began_at, ended_at, outages=outages, takes=takes, failing=failing) == ended_at:
            break
        crowd.append(job.name)
    return crowd
