"""The scheduler follows the jobs file: what was judged in a thread comes into force between two beats."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from echopilot_jobs import definitions
from echopilot_jobs.clock import Clock
from echopilot_jobs.definitions.watching import Watcher
from echopilot_jobs.jobs import Registry
from echopilot_jobs.jobsfile import Problem
from echopilot_jobs.logs import Log
from echopilot_jobs.scheduler.loop import Scheduler
from echopilot_jobs.settings import Settings

TOLD_MOST = 20


class Reloading:
    """Used by the loop's thread alone; it alone writes the log."""

    def __init__(self, settings: Settings, clock: Clock, log: Log, ring: Callable[[], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._log = log
        self._watcher = Watcher(settings, clock, ring)
        self._registry = Registry([])
        self._told: tuple[Problem, ...] = ()
        self._waiting: tuple[Registry, str | None] | None = None

    def begin(self) -> Registry:
        """The set a scheduler begins with; says so when it is new, and when the file as it is now is not in force."""
        found, is_new = definitions.begin(self._settings, self._clock.now())
        if is_new and not found.problems:
            self._tell_accepted(found.registry, None)
        self._tell_refused(found.problems)
        self._registry = found.registry
        return found.registry

    def start(self) -> None:
        """Follow the file from now on."""
        self._watcher.start()

    def stop(self) -> None:
        """Follow it no longer."""
        self._watcher.stop()

    def adopted(self, scheduler: Scheduler) -> Registry | None:
        """The other set that *scheduler* has just taken, if there was one. Raises `LeaseLost`."""
        for verdict in self._watcher.take():
            registry, was_refused = verdict.checked.registry, bool(self._told)
            self._tell_refused(verdict.checked.problems)
            if registry is None:
                continue
            self._waiting = (registry, verdict.unkept) if _differ(registry, self._registry) else None
            if was_refused and self._waiting is None:  # whoever read that it is refused reads that it no longer is
                self._tell_accepted(registry, verdict.unkept)
        if self._waiting is None or not scheduler.adopt(self._waiting[0]):
            return None
        (registry, unkept), self._waiting = self._waiting, None
        self._tell_accepted(registry, unkept)
        self._registry = registry
        return registry

    def _tell_accepted(self, registry: Registry, unkept: str | None) -> None:
        before = self._registry
        shared = [name for name in registry if name in before]
        self._log.event(
            "jobs.accepted",
            count=len(registry),
            added=[name for name in registry if name not in before],
            changed=[name for name in shared if registry[name].version != before[name].version],
            removed=[name for name in before if name not in registry],
            version=_version(registry),
            unkept=unkept,
        )

    def _tell_refused(self, problems: Iterable[Problem]) -> None:
        """Each problem on a line of its own, once: a file that is saved again with the same mistakes is no news."""
        found = tuple(problems)
        if found == self._told:
            return
        self._told = found
        with self._log.batch():
            for problem in found[:TOLD_MOST]:
                self._log.event("jobs.refused", problem=str(problem))
            if len(found) > TOLD_MOST:
                more = f"and {len(found) - TOLD_MOST} more; `echopilot check` lists them all"
                self._log.event("jobs.refused", problem=more)


def _differ(one: Registry, other: Registry) -> bool:
    limits = dict(one.group_limits) != dict(other.group_limits)
    return limits or list(one.values()) != list(other.values())


def _version(registry: Registry) -> str:
    """Twelve hex digits that change whenever any definition does."""
    text = " ".join(sorted(f"{job.name}:{job.version}" for job in registry.values()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
