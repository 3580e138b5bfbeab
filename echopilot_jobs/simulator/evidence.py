"""What the record says, put so that promises can be checked against it: times, definitions, who was busy, what was paused.

Nothing here judges. Moments are true seconds unless they are called wall (epoch seconds).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice, pairwise

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.jobs import Job
from echopilot_jobs.records import record
from echopilot_jobs.simulator.nominal import SLOTS_MOST, every, nominal, seconds_of
from echopilot_jobs.simulator.truth import Effect, Truth, Turn
from echopilot_jobs.simulator.watch import Row, Seen, Sight
from echopilot_jobs.triggers import Every

G = 15.0  # the detection allowance
SETTLING = 20.0  # so long after a disturbance everything must have found its feet
FAR = 3 * 3600.0  # a step of the wall clock beyond which nobody believes it
HOLD = 600.0  # how long it must then stand still


@record(frozen=True)
class Era:
    """From *start* to *end*, *job* was the definition in force; *fresh*: its times are not those of the era before."""

    job: Job
    start: float
    end: float
    fresh: bool


class Evidence:
    """One history's record. *held*: the clock was still on hold at its end."""

    def __init__(self, truth: Truth, seen: Seen, limits: dict[str, int], *, held: bool) -> None:
        self.truth, self.seen, self.limits, self.held = truth, seen, limits, held
        self.base = seconds_of(truth.began_at)
        self.starts = [turn.at for turn in truth.turns]
        self.died = {stay.owner: stay.died for stay in truth.stays}
        self.effects: dict[int, list[Effect]] = defaultdict(list)
        for effect in truth.effects:
            self.effects[effect.run].append(effect)
        self.by_job: dict[str, list[list[Sight]]] = defaultdict(list)
        for sights in seen.moves.values():
            self.by_job[sights[0].row["job"]].append(sights)
        self.eras = {name: list(self._eras(name)) for name in {sight.row["name"] for sight in seen.jobs}}

    # -- time

    def turn(self, at: float) -> Turn:
        """How the world stood."""
        return self.truth.turns[max(bisect_right(self.starts, at) - 1, 0)]

    def wall(self, at: float) -> float:
        """What the wall clock showed."""
        return self.base + at + self.turn(at).offset

    def one_clock(self, start: float, end: float) -> bool:
        """Whether nobody set the wall clock in between."""
        return len({self.turn(start).offset} | {t.offset for t in self.truth.turns if start <= t.at <= end}) == 1

    def stood(self, at: float) -> float:
        """For how long nobody set the wall clock, around *at*."""
        turns = self.truth.turns
        set_at = [turn.at for before, turn in pairwise(turns) if turn.offset != before.offset]
        return min([t for t in set_at if t > at], default=self.truth.ended) - max(
            [t for t in set_at if t <= at], default=0.0
        )

    def set_back(self, start: float, end: float) -> float:
        """By how many seconds the wall clock was set back in between, all such steps together."""
        shifts = [turn.offset for turn in self.truth.turns if start < turn.at <= end]
        return sum(max(one - other, 0.0) for one, other in pairwise([self.turn(start).offset, *shifts]))

    def reached(self, job: Job, at: float) -> float:
        """Wall: how far an interval job was decided; a clock set back since by less than its interval repeats nothing."""
        peak = -1e12
        for turn, end in zip(self.truth.turns, [*self.starts[1:], self.truth.ended], strict=True):
            if turn.at > at:
                break
            shift = self.base + turn.offset
            if peak - shift - turn.at >= min(job.trigger.period.total_seconds(), FAR) + SETTLING:
                peak = -1e12
            if at < end:
                break
            peak = max(peak, shift + end)
        return peak

    def latest_shown(self, at: float) -> float:
        """The latest moment the wall clock showed in the minute before: one set back since had still come that far."""
        ends = zip(self.truth.turns, [*self.starts[1:], self.truth.ended], strict=True)
        return max(self.base + min(end, at) + turn.offset for turn, end in ends if end >= at - 60.0 and turn.at <= at)

    def steady(self, start: float, end: float) -> bool:
        """Whether a scheduler could work all the time between, on one clock."""
        turns = [turn for turn in self.truth.turns if start < turn.at <= end]
        able = self.turn(start).healthy and all(turn.healthy for turn in turns)
        return end <= self.truth.ended and able and self.one_clock(start, end)

    def stretches(self, era: Era) -> Iterator[tuple[float, float, Turn]]:
        """(from, to, how the world stood) within *era*."""
        for turn, end in zip(self.truth.turns, [*self.starts[1:], self.truth.ended], strict=True):
            if min(end, era.end) > max(turn.at, era.start):
                yield max(turn.at, era.start), min(end, era.end), turn

    def distrusted(self, at: float) -> bool:
        """Whether the wall clock had leapt within the last ten minutes, before the eyes of this boot, and not come back."""
        boots = [turn.at for turn in self.truth.turns if turn.why == "boot" and turn.at <= at]
        known = max([self.seen.leases[0].at, *boots])
        recent = [turn for turn in self.truth.turns if max(known, at - HOLD + 10.0) < turn.at < at - 1.0]
        before = [self.turn(turn.at - 1e-6).offset for turn in recent if self._leapt(turn)]
        return bool(before) and abs(self.turn(at).offset - before[0]) > FAR

    @property
    def has_leapt(self) -> bool:
        """Whether the wall clock ever moved so far that nobody believed it."""
        return any(self._leapt(turn) for turn in self.truth.turns)

    def _leapt(self, turn: Turn) -> bool:
        return abs(turn.offset - self.turn(turn.at - 1e-6).offset) > FAR

    def leader(self, at: float) -> str | None:
        """Who held the lease."""
        return next((str(sight.row["owner"]) for sight in reversed(self.seen.leases) if sight.at <= at), None)

    def stayed(self, owner: str, until: float) -> bool:
        """Whether the process lived beyond *until*."""
        died = self.died.get(owner)
        return died is None or died > until

    # -- definitions and slots

    def _eras(self, name: str) -> Iterator[Era]:
        known = {d.job.version: d.job for d in self.truth.defined if d.job and d.name == name}
        sights = [sight for sight in self.seen.jobs if sight.row["name"] == name]
        before: Job | None = None
        for sight, following in zip(sights, [*[s.at for s in sights[1:]], self.truth.ended], strict=True):
            job = known[sight.row["revision"]] if sight.row["is_defined"] else None
            if job is not None:
                others = [d.at for d in self.truth.defined if d.name == name and d.job != job and d.at > sight.at]
                yield Era(job, sight.at, min([following, *others]), before is None or before.trigger != job.trigger)
            before = job

    def era(self, name: str, at: float) -> Era | None:
        """The definition in force."""
        return next((era for era in reversed(self.eras[name]) if era.start <= at), None)

    def is_defined(self, name: str, at: float) -> bool:
        """Whether the ledger had it among the jobs."""
        return bool([s.row["is_defined"] for s in self.seen.jobs if s.row["name"] == name and s.at <= at][-1:] == [1])

    def slots(self, job: Job, after: float, until: float) -> range | list[int]:
        """Where slots ought to be in (after, until], wall; at most `SLOTS_MOST` of a rule that is no plain interval."""
        if isinstance(job.trigger, Every):
            return every(job.trigger, after, until)
        return list(islice(nominal(job.trigger, after, until), SLOTS_MOST))

    def distance(self, job: Job, slot: int) -> float:
        """To the next slot."""
        following = next(job.trigger.after(EPOCH + timedelta(seconds=slot)), None)
        return 1e12 if following is None else seconds_of(following) - slot

    def window(self, job: Job) -> float:
        """How late a slot of *job* may still run."""
        return G if job.catch_up == "none" else max(job.window.total_seconds(), G)

    def floor(self, era: Era, at: float) -> float:
        """Wall: slots up to here came before the process that first knew of the job, or of its times."""
        leader = next((sight.row["owner"] for sight in reversed(self.seen.leases) if sight.at <= era.start), None)
        stays = (stay for stay in self.truth.stays if leader in (None, stay.owner))
        born = max((stay.born for stay in stays if stay.born <= era.start), default=0.0)
        walls = [self.base + max(t.at, born) + t.offset for t in self.truth.turns if born < t.at <= at]
        return min([self.wall(born), *walls]) if era.fresh else -1e12

    def paused(self, name: str, slot: float, at: float, *, in_doubt: bool = False) -> bool:
        """Whether somebody who was told so before *at* had paused *name* at the wall time *slot*.

        *in_doubt* is the answer where the wall clock was set since: a pause moves with it.
        """
        told = [deed for deed in self.truth.deeds if deed.job == name and deed.at <= at]
        ends = [seconds_of(deed.facts["now"]) for deed in told if deed.kind == "resume"]
        for deed in told:
            if deed.kind == "pause" and not self.one_clock(deed.at, at):
                if in_doubt:
                    return True
            elif deed.kind == "pause":
                since, until = seconds_of(deed.facts["since"]), deed.facts["until"]
                end = min([e for e in [*ends, seconds_of(until) if until else 1e12] if e > since], default=1e12)
                if since <= slot < end:
                    return True
        return False

    def pause_written(self, name: str, slot: float) -> bool:
        """Whether the ledger has a pause over *slot*, perhaps one whose maker never got an answer."""
        rows = (row for row in self.seen.pauses if row["job"] == name)
        return any(row["since_at"] <= slot * 1000 < (row["until_at"] or 1e15) for row in rows)

    def busy(self, name: str, at: float) -> tuple[int, int]:
        """(running, waiting in front) of the job as the pass that committed at *at* found them."""
        running = waiting = 0
        for sights in self.by_job[name]:
            place = bisect_left(sights, at, key=lambda sight: sight.at)
            before = sights[place - 1].row if place else None
            after = sights[place].row if place < len(sights) and sights[place].at == at else None
            if before is not None and not (after and _just_ended(before, after)):
                running += before["state"] == "running"
                waiting += before["state"] == "queued" and before["rank"] == 0 and before["slot_at"] is not None
        return running, waiting


def _just_ended(before: Row, after: Row) -> bool:
    return bool(before["state"] == "running" and after["state"] != "running")


def planned(row: Row) -> float:
    """The wall time a slot's run was planned for."""
    return float(row["slot_at"] if row["planned_at"] is None else row["planned_at"] / 1000)
