"""Random signals to random processes at random moments, by a seed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.ledger import LEASE_TTL
from echopilot_jobs.processes import Owner
from echopilot_jobs.scheduler.chores import EVERY_SECONDS as CHORES_SECONDS
from tests.soak.blows import REMOVE, Blow, Blows
from tests.soak.fleet import Fleet
from tests.soak.records import Records

MEAN_PAUSE = 0.3
LOOK_SECONDS = 0.1
STOPPED_FOR = (0.05, 0.3, 1.0, 2.5)
BEGIN, BEGIN_OF_FAMILY = b'"begin"', b'"begin", "job": "family"'
LEASE_SECONDS = LEASE_TTL.total_seconds()

# How often what happens to whom, in percent. A STOP is always followed by a CONT. Most blows fall on jobs: a leader that
# never lives for two seconds plans nothing that could be lost.
WEIGHTS: Mapping[Blow, float] = {
    ("KILL", "job"): 36,
    ("TERM", "job"): 14,
    ("STOP", "job"): 20,
    ("KILL", "leader"): 7,
    ("TERM", "leader"): 2,
    ("STOP", "leader"): 3,
    ("KILL", "standby"): 3,
    ("TERM", "standby"): 1,
    ("STOP", "standby"): 1,
    ("KILL", "web"): 1.5,
    ("KILL", "worker"): 2.5,
    ("STOP", "worker"): 2,
    ("KILL", "stack"): 2,
    ("TERM", "stack"): 1,
    ("STOP", "stack"): 2,
    (REMOVE, "lock"): 2,
}


@dataclass(frozen=True)
class Temper:
    """What a storm is like: what falls on whom, and how often, as a share of 1, certain things follow.

    *freezing*: once a minute the leader is stopped for longer than its lease (F46). *ambush*: a leader dies not at once but
    the moment after an effect, between effect and finish (F2), whose line holds one of *awaited*. *again*: the successor of
    a killed leader dies, too, while it puts things in order (F3). *healed*: between the two somebody has the web heal the
    ledger. *hidden*: the lock file goes away while the leader is frozen, so that another may take over.
    """

    weights: Mapping[Blow, float] = field(default_factory=lambda: WEIGHTS)
    freezing: bool = True
    ambush: float = 0.6
    awaited: tuple[bytes, ...] = (BEGIN, BEGIN_OF_FAMILY)
    again: float = 0.3
    healed: float = 0.5
    hidden: float = 0.8


# For two lone schedulers whose mistake has to show soon: they die only after an effect.
OF_CONTROL = Temper(
    weights={("KILL", "leader"): 6, ("STOP", "leader"): 2, ("KILL", "standby"): 1},
    freezing=False,
    ambush=1.0,
    awaited=(BEGIN,),
)


class Storm:
    """One storm over one fleet. *bereaved* is called when a leader was killed, before anybody took its place."""

    def __init__(
        self,
        fleet: Fleet,
        records: Records,
        rng: Random,
        temper: Temper | None = None,
        bereaved: Callable[[], None] = lambda: None,
    ) -> None:
        self.blows = Blows(fleet, records, rng)
        self._fleet = fleet
        self._records = records
        self._rng = rng
        self._temper = temper or Temper()
        self._bereaved = bereaved
        self._clock = SystemClock()
        self._pause = threading.Event()
        self._effects = fleet.folder / "effects.ndjson"
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._peace_until = 0.0
        self._ambushed_at: int | None = None
        self._awaited = b""
        self._dead_leader: int | None = None

    def rage(self, seconds: float, at_least: int, told: Callable[[float, int], None]) -> None:
        """Strike until *seconds* have passed and *at_least* so many blows have fallen, at most for twice that time.

        *told* hears of the seconds gone by and the blows. Nothing stays frozen.
        """
        began = now = self._clock.monotonic()
        strike_at, freeze_at = began + 1.5, began + self._rng.uniform(6, 12)
        try:
            while now < began + seconds or (self.blows.counts.total() < at_least and now < began + 2 * seconds):
                self._fleet.tend()
                self._follow_up(now)
                if self._temper.freezing and now >= freeze_at and now < began + seconds - LEASE_SECONDS:
                    freeze_at = now + (60 if self._freeze(now) else 1)
                if now >= strike_at:
                    strike_at = now + (min(self._rng.expovariate(1 / MEAN_PAUSE), 1.5) if self.strike(now) else 0.1)
                told(now - began, self.blows.counts.total())
                self._pause.wait(LOOK_SECONDS if self._ambushed_at is None else LOOK_SECONDS / 5)
                now = self._clock.monotonic()
        finally:
            self._follow_up(float("inf"))

    def strike(self, now: float) -> bool:
        """One blow, chosen by weight; whether there was anybody to fall on. In peace only jobs are struck."""
        what, whom = self._rng.choices(list(self._temper.weights), list(self._temper.weights.values()))[0]
        if now < self._peace_until and whom != "job":
            return False
        if what == REMOVE:
            return self.blows.remove_lock()
        if (what, whom) == ("KILL", "leader") and self._rng.random() < self._temper.ambush:
            return self._lie_in_wait()
        owner = self.blows.strike(what, whom)
        if owner and what == "STOP":
            self._wake(owner, now + self._rng.choice(STOPPED_FOR))
        if owner and (what, whom) == ("KILL", "leader"):
            self._leader_died(owner)
        return owner is not None

    # -- what follows a blow

    def _follow_up(self, now: float) -> None:
        for item in [item for item in self._later if item[0] <= now]:
            self._later.remove(item)
            item[1]()
        if now >= self._peace_until:
            self._spring_ambush()
            self._kill_successor()

    def _wake(self, owner: Owner, at: float) -> None:
        self._later.append((at, lambda: self.blows.send("CONT", "stopped", owner)))

    def _lie_in_wait(self) -> bool:
        """Wait for the next effect, or for the next of the job whose processes outlive their leader (F49)."""
        if self._ambushed_at is not None:
            return False
        self._ambushed_at = _size(self._effects)
        self._awaited = self._rng.choice(self._temper.awaited)
        return True

    def _spring_ambush(self) -> None:
        if self._ambushed_at is None or self._awaited not in _since(self._effects, self._ambushed_at):
            return
        self._ambushed_at = None
        if owner := self.blows.strike("KILL", "leader"):
            self._leader_died(owner)

    def _leader_died(self, owner: Owner) -> None:
        if self._rng.random() < self._temper.again:
            self._dead_leader = owner.pid
        if self._rng.random() < self._temper.healed:
            self._bereaved()

    def _kill_successor(self) -> None:
        if self._dead_leader is not None and self._fleet.leader not in (None, self._dead_leader):
            self._dead_leader = None
            self.blows.strike("KILL", "leader")

    # -- a leader frozen for longer than its lease

    def _freeze(self, now: float) -> bool:
        """Stop the leader. With its lock file gone, a scheduler begun later may take over once the lease has run out."""
        frozen = self.blows.strike("STOP", "leader")
        if frozen is None:
            return False
        seconds = LEASE_SECONDS + self._rng.uniform(2, 4)
        ends_with = self._rng.choice(("CONT", "KILL"))
        self._records.add("freeze", pid=frozen.pid, seconds=seconds, ends_with=ends_with)
        if self._rng.random() < self._temper.hidden:
            self.blows.hide_lock()
            self.blows.strike("KILL", "standby")
        self._peace_until = now + seconds
        self._later.append((now + seconds, lambda: self._end_freeze(frozen, ends_with)))
        return True

    def _end_freeze(self, frozen: Owner, ends_with: str) -> None:
        """Wake or kill the former leader.

        One that finds its own lock file back has only the lease to stop it. What a killed one leaves behind is for its
        successor's chores to find: half of the successors get the time for that.
        """
        if self._rng.random() < 0.5:
            self.blows.return_lock()
        if ends_with == "KILL" and self._rng.random() < 0.5:
            self._peace_until = self._clock.monotonic() + CHORES_SECONDS + 2
        self.blows.send(ends_with, "frozen leader", frozen)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _since(path: Path, offset: int) -> bytes:
    """What was appended to *path* beyond *offset*."""
    if _size(path) <= offset:
        return b""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()
