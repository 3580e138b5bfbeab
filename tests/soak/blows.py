"""What can be done to the processes of a fleet: a signal, a lock file taken away. Every blow is counted and recorded."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

from echopilot_jobs.processes import Owner, is_alive, owner_of
from tests.soak.fleet import Fleet, Proc
from tests.soak.records import Records

REMOVE = "remove"  # not a signal: the lock file goes away under its holder (F47)
Blow = tuple[str, str]  # a signal's name or REMOVE, and to whom


class Blows:
    """Strikes at one fleet, and remembers how often it struck whom."""

    def __init__(self, fleet: Fleet, records: Records, rng: Random) -> None:
        self._fleet = fleet
        self._records = records
        self._rng = rng
        self._lock = fleet.home / "var" / "scheduler.lock"
        self._hidden = self._lock.with_suffix(".aside")
        self.counts: Counter[Blow] = Counter()

    def strike(self, what: str, whom: str) -> Owner | None:
        """Do it to one of those who are *whom* now; who it was, None when there is nobody."""
        found = self.targets(whom)
        owner = self.owner(self._rng.choice(found)) if found else None
        return owner if owner and self.send(what, whom, owner) else None

    def targets(self, whom: str) -> list[int]:
        """The pids of all who are *whom* now."""
        census, leader = self._fleet.census(), self._fleet.leader
        web = {proc.pid for proc in census if proc.role == "web"}
        stacks = {pid for member in self._fleet.members if member.name == "stack" for pid in member.pids}
        chosen: dict[str, Callable[[Proc], bool]] = {
            "leader": lambda proc: proc.role == "scheduler" and proc.pid == leader,
            "standby": lambda proc: proc.role == "scheduler" and proc.pid != leader,
            "job": lambda proc: proc.role == "job",
            "web": lambda proc: proc.role == "web" and proc.parent not in web,
            "worker": lambda proc: proc.role == "web" and proc.parent in web,
            "stack": lambda proc: proc.pid in stacks,
        }
        return [proc.pid for proc in census if chosen[whom](proc)]

    def send(self, what: str, whom: str, owner: Owner) -> bool:
        """One signal to one process, if it still is that process. A CONT takes a STOP back and is no blow."""
        if not is_alive(owner):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(owner.pid, signal.Signals[f"SIG{what}"])
            self._note(what, whom, owner.pid)
            return True
        return False

    def remove_lock(self) -> bool:
        """Take the lock file away for good."""
        with contextlib.suppress(FileNotFoundError):
            self._lock.unlink()
            self._note(REMOVE, "lock")
            return True
        return False

    def hide_lock(self) -> None:
        """Take the lock file away; it may be given back."""
        with contextlib.suppress(FileNotFoundError):
            self._lock.rename(self._hidden)
            self._note(REMOVE, "lock")

    def return_lock(self) -> None:
        """Give back the one that was hidden, over whatever stands in its place by now."""
        with contextlib.suppress(FileNotFoundError):
            self._hidden.replace(self._lock)
            self._records.add("lock_returned")

    @staticmethod
    def owner(pid: int) -> Owner | None:
        """The process as one that no later process with its pid is taken for; None when it is gone."""
        with contextlib.suppress(ProcessLookupError):
            return owner_of(pid)
        return None

    def by_target(self) -> Iterator[tuple[str, str]]:
        """The counts for a table: whom, and how often by which signal; the most struck first."""
        sums = Counter[str]()
        for (_what, whom), count in self.counts.items():
            sums[whom] += count
        for whom, _ in sums.most_common():
            said = [f"{what} {count}" for (what, target), count in self.counts.most_common() if target == whom]
            yield whom, ", ".join(said)

    def _note(self, what: str, whom: str, pid: int | None = None) -> None:
        if what != "CONT":
            self.counts[what, whom] += 1
        self._records.add("hit", signal=what, target=whom, pid=pid)
