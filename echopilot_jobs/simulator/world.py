"""Time as it really passes, the machine's clocks as they show it, and the queue of what happens next.

Three times are told apart. *Active* time passes while the machine is awake and is what everything waits for; *true* time
passes always; the *wall* clock shows true time plus an offset that people and NTP change. No thread, no sleep: whoever waits
puts an event into the queue, and the world goes from one event to the next.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from echopilot_jobs.clock import EPOCH

INSTANT = 0.001  # what a beat, a commit or a start costs at least: nothing real takes no time


class Killed(BaseException):  # the name says what happened to the process
    """The process is gone. Raised at a step boundary and caught by the world alone, as no code survives a kill -9."""


@dataclass
class World:
    """One machine: its times, its queue, its boots, its dice."""

    began_at: datetime
    dice: random.Random
    active: float = 0.0
    asleep: float = 0.0
    offset: float = 0.0
    boot: int = 1
    booted_active: float = field(default=0.0)
    booted_true: float = field(default=0.0)
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    @property
    def true(self) -> float:
        """Seconds that really passed since the history began."""
        return self.active + self.asleep

    @property
    def boot_id(self) -> str:
        """The identity of this boot."""
        return f"boot{self.boot}"

    def wall(self) -> datetime:
        """What the wall clock shows."""
        return self.wall_at(self.true, self.offset)

    def wall_at(self, true: float, offset: float) -> datetime:
        """What a wall clock off by *offset* seconds shows at *true*; stuck at the ends of the calendar."""
        seconds = (self.began_at - EPOCH).total_seconds() + true + offset
        return EPOCH + timedelta(seconds=min(max(seconds, -6e10), 2.5e11))

    def at(self, active: float, act: Callable[[], None]) -> None:
        """Have *act* called when active time reaches *active*."""
        heapq.heappush(self._queue, (active, next(self._numbers), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Have *act* called after so many seconds awake."""
        self.at(self.active + seconds, act)

    def run_until(self, active: float) -> None:
        """Let everything happen that is due until then. May be called from inside an event: time goes on in there."""
        while self._queue and self._queue[0][0] <= active:
            due, _, act = heapq.heappop(self._queue)
            self.active = max(self.active, due)
            act()
        self.active = max(self.active, active)

    def spend(self, seconds: float = INSTANT) -> None:
        """Let a moment pass in which nobody else gets a turn."""
        self.active += seconds

    def sleep(self, seconds: float) -> None:
        """Suspend the machine: true time passes, nothing on it does."""
        self.asleep += seconds

    def step_clock(self, seconds: float) -> None:
        """Set the wall clock forward or back."""
        self.offset += seconds

    def reboot(self) -> None:
        """Begin a new boot: the counting clocks start again from nothing."""
        self.boot += 1
        self.booted_active, self.booted_true = self.active, self.true


class SimClock:
    """The machine's clocks. Keeps the promises of `clock.Clock`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.wall()

    def monotonic(self) -> float:
        return 100.0 + self._world.active - self._world.booted_active

    def boottime(self) -> float:
        return 100.0 + self._world.true - self._world.booted_true

    def sleep(self, seconds: float) -> None:
        self._world.spend(seconds)
