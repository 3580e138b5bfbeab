"""What goes wrong, and where: faults strike at a step of a path, near the edge of a slot, or at any time."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from echopilot_jobs.records import record

if TYPE_CHECKING:
    from echopilot_jobs.simulator.histories import History
    from echopilot_jobs.simulator.life import Process
    from echopilot_jobs.simulator.machine import Machine

KINDS = (
    "kill",
    "kill_twice",
    "down",
    "term",
    "deploy",
    "stop",
    "clock_small",
    "clock_back",
    "clock_ahead",
    "clock_far",
    "suspend",
    "second_stack",
    "lock_deleted",
    "no_lock",
    "overtaken",
    "full",
    "full_while",
    "eio",
    "eio_while",
    "busy",
    "lost_reply",
    "power_loss",
    "reboot",
)
PATHS = (
    "claim",
    "^start$",
    "finish",
    "lease|stint|renew",
    "commit",
    "committed",
    "submit",
    "log",
    "advance",
    "skip|gap",
)
ONCE = ("full", "eio", "lost_reply")
OFF_DISK = ("collect", "submit", "submitted", "cancel", "log", "tick", "connect", "committed")
PATIENCE = 60.0  # a fault whose path never comes strikes the next step after so long
NESTED_MOST = 3
RESTART = 1.0


@record(frozen=True)
class Fault:
    """One thing that goes wrong. *amount* is how long it lasts in seconds, or how far the clock steps.

    Faults come one after the other: each waits *wait* seconds from the end of the one before, or, where it *overlaps*,
    from that one's beginning.
    """

    kind: str
    how: str  # step, edge or time
    wait: float
    overlaps: bool = False
    path: str = ""  # step: the label to wait for
    k: int = 0  # step: how many steps beyond
    amount: float = 0.0
    again: int = 0  # kill_twice: the step of the recovery at which to strike again

    def __str__(self) -> str:
        place = {"step": f"{self.k} steps after '{self.path}'", "edge": "near a slot", "time": "at any time"}[self.how]
        return f"{self.kind} ({self.amount:g} s), {place}, {self.wait:.1f} s later"

    @property
    def lasts(self) -> float:
        """For how many seconds awake it goes on by itself."""
        return 0.0 if self.kind.startswith(("clock", "suspend", "kill_twice", "reboot", "power")) else self.amount


def draw(dice: random.Random, kinds: list[str]) -> Fault:
    """One fault out of *kinds*."""
    kind = dice.choice(kinds)
    roll = dice.random()
    how = "step" if roll < 0.5 else "edge" if roll < 0.85 else "time"
    return Fault(
        kind=kind,
        how=how,
        wait=dice.choice([0.0, 2.0, 11.0, 30.0, 70.0]) * dice.uniform(0.5, 1.0),
        overlaps=dice.random() < 0.3,
        path=dice.choice(PATHS),
        k=dice.choice([0, 0, 1, 2, 3, 5, 8, 13]),
        amount=_amount(dice, kind),
        again=dice.randrange(1, 60),
    )


# How long each kind lasts or how far it moves the wall clock, in seconds; a little less by chance where it is a length.
AMOUNTS: dict[str, tuple[float, ...]] = {
    "down": (1, 5, 20, 70, 600, 4000, 30_000, 108_000),
    "reboot": (1, 5, 20, 70, 600, 4000, 30_000, 108_000),
    "power_loss": (1, 5, 20, 70, 600, 4000, 30_000, 108_000),
    "stop": (2, 14, 17, 40, 90, 600, 7200, 90_000),
    "suspend": (2, 14, 17, 40, 90, 600, 7200, 90_000),
    "second_stack": (10, 40, 120),
    "lock_deleted": (10, 40, 120),
    "no_lock": (10, 40, 120),
    "overtaken": (25, 60, 120),
    "full_while": (0.5, 4, 12, 40, 130),
    "eio_while": (0.5, 4, 12, 40, 130),
    "busy": (0.5, 4, 12, 40, 130),
    "clock_small": (-30.0, -4.0, -1.5, -0.9, -0.4, -0.003, 0.003, 0.4, 0.9, 1.5, 4.0, 30.0),
    "clock_back": (-61, -130, -600, -3600, -10_000),
    "clock_ahead": (61, 600, 3600, 10_000),
    # Many years ahead would only be slow: every moment of a cron rule in them is worked out.
    "clock_far": (-3.2e8, -3.2e7, -3.5e6, -86_400, -11_000, 11_000, 86_400, 3.5e6, 3.2e7),
}
OTHERWISE = (0.2, 1, 3)


def _amount(dice: random.Random, kind: str) -> float:
    amount = dice.choice(AMOUNTS.get(kind, OTHERWISE))
    return amount if kind.startswith("clock") else amount * dice.uniform(0.6, 1.0)


def _reaches(kind: str, label: str) -> bool:
    """Whether a trouble of that kind can meet such a step: a disk refuses where it is asked, a reply is lost after."""
    return kind not in ONCE or (label == "committed" if kind == "lost_reply" else label not in OFF_DISK)


@dataclass
class _Armed:
    fault: Fault
    since: float
    left: int | None = None  # steps to go, once its path was met


class Faults:
    """The faults of one history, each waiting for its moment."""

    def __init__(self, machine: Machine, history: History) -> None:
        self.labels: list[str] = []  # of every step so far, while somebody strikes by number
        self.counts_steps = False
        self._machine = machine
        self._coming = list(history.faults)
        self._blows = list(history.exact)
        self._since_blow = 0
        self._armed: list[_Armed] = []
        self._depth = 0
        self._chain()

    @property
    def over(self) -> bool:
        """Whether all have struck that ever will."""
        return not self._coming and not self._armed

    def blow(self, label: str) -> str | None:
        """Count a step; what strikes at exactly this one."""
        if self.counts_steps:
            self.labels.append(label)
        if not self._blows:
            return None
        self._since_blow += 1
        if self._since_blow < self._blows[0].step:
            return None
        self._since_blow = 0
        kind = self._blows.pop(0).kind
        self._machine.truth.faults.append((self._machine.world.true, kind, f"exactly at {label}"))
        self._machine.truth.calm_since = self._machine.world.true
        return "eio" if kind == "lost_reply" else kind

    def on_step(self, process: Process, label: str) -> str | None:
        """One step boundary of *process*: strikes what is due here; the trouble the store should raise, if any."""
        trouble = self.blow(label)
        if trouble == "kill":
            process.life.kill(restart=RESTART)
            return None
        for item in self._armed[:]:
            if not _reaches(item.fault.kind, label):
                continue
            if item.left is None and self._matches(item, label):
                item.left = item.fault.k
            if item.left == 0 and item in self._armed:
                self._armed.remove(item)
                trouble = self.strike(item.fault, process, label) or trouble
            elif item.left:
                item.left -= 1
        return trouble

    def arm(self, fault: Fault) -> None:
        """Let *fault* strike at a step."""
        self._machine.disk.watch_power |= fault.kind == "power_loss"
        self._armed.append(_Armed(fault, self._machine.world.active))

    def _matches(self, item: _Armed, label: str) -> bool:
        late = self._machine.world.active - item.since > PATIENCE
        return late or re.search(item.fault.path, label) is not None

    def _chain(self, lasted: float = 0.0) -> None:
        if self._coming:
            fault = self._coming.pop(0)
            wait = fault.wait if fault.overlaps else fault.wait + lasted
            self._machine.world.after(wait, lambda: self._due(fault))

    def _due(self, fault: Fault) -> None:
        if fault.how == "edge":
            dice = random.Random(f"{fault}")
            wait = self._machine.seconds_to_edge(dice) + dice.uniform(-2.0, 2.0) * dice.choice([0.05, 1.0, 10.0])
            self._machine.world.after(max(wait, 0.0), lambda: self._now(fault))
        elif fault.how == "time":
            self._now(fault)
        else:
            self.arm(fault)

    def _now(self, fault: Fault) -> None:
        process = self._machine.first.process
        if fault.kind in ONCE or process is None:
            self.arm(replace(fault, path="", k=0))
        else:
            self.strike(fault, process, fault.how)

    def strike(self, fault: Fault, process: Process, label: str) -> str | None:
        """Do it now. In the middle of a step the return is the trouble this very step meets."""
        machine, world, life = self._machine, self._machine.world, process.life
        machine.truth.faults.append((world.true, fault.kind, f"{life.name} at {label}"))
        self._chain(fault.lasts)
        match fault.kind:
            case "kill" | "down":
                life.kill(restart=fault.amount or RESTART)
            case "kill_twice":
                life.kill(restart=fault.amount)
                self.arm(Fault("kill", "step", 0.0, path="", k=fault.again, amount=fault.amount))
            case "term" | "deploy":
                machine.revision += fault.kind == "deploy"
                life.terminate(restart=fault.amount)
            case "stop":
                self._stop(process, fault.amount)
            case "suspend":
                machine.suspend(fault.amount)
            case "clock_small" | "clock_back" | "clock_ahead" | "clock_far":
                world.step_clock(fault.amount)
                machine.note(fault.kind)
                machine.linger(-fault.amount)  # until the wall clock has shown everything twice
            case "second_stack" | "lock_deleted" | "no_lock":
                machine.second_stack(fault.amount, fault.kind)
            case "overtaken":  # frozen beyond the lease's time, with somebody there to take over
                machine.second_stack(fault.amount * 2, "no_lock")
                self._stop(process, fault.amount)
            case "full" | "eio":
                return fault.kind
            case "lost_reply":
                return "eio"
            case "full_while" | "eio_while" | "busy":
                machine.disk_trouble(fault.kind.removesuffix("_while"), fault.amount)
            case "power_loss" | "reboot":
                machine.crash(fault.amount, power=fault.kind == "power_loss")
        return None

    def _stop(self, process: Process, seconds: float) -> None:
        """SIGSTOP. In the middle of a step the world goes on around the frozen process."""
        world = self._machine.world
        until = world.active + seconds
        if process.inside and self._depth >= NESTED_MOST:
            return
        process.freeze(until)
        self._machine.linger(seconds)  # what it holds is settled once it goes on
        if process.inside:
            self._depth += 1
            process.held_inside = True
            self._machine.note("held")
            try:
                world.run_until(until)
            finally:
                self._depth -= 1
                process.held_inside = False
                self._machine.note("continued")
