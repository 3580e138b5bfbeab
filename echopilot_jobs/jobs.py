"""What a job is: a named action with its trigger and its limits."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Literal

from echopilot_jobs.clock import iso
from echopilot_jobs.errors import ConfigError, unknown_name
from echopilot_jobs.runs import Slot
from echopilot_jobs.triggers import Trigger

NAME_RULE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
WINDOW_LEAST, WINDOW_MOST = timedelta(seconds=60), timedelta(hours=24)


@dataclass(frozen=True)
class Inline:
    """Carried out by the scheduler itself, between two waits: for duties that take microseconds."""

    duty: str

    def __str__(self) -> str:
        return f"inside the scheduler: {self.duty}"


@dataclass(frozen=True)
class Python:
    """A callable `package.module:function` that gets a `RunContext`, in a child process of its own."""

    target: str

    def __str__(self) -> str:
        return f"python {self.target}"


@dataclass(frozen=True)
class Command:
    """A program and its arguments, never through a shell."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"command {self.argv[0]}"


@dataclass(frozen=True)
class Http:
    """One HTTP request. A *url* that begins with `/` goes to our own web process, with the dashboard key."""

    url: str
    method: str = "POST"

    def __str__(self) -> str:
        return f"http {self.method} {self.url}"


Action = Inline | Python | Command | Http
CatchUp = Literal["latest", "all", "none"]


@dataclass(frozen=True)
class Job:
    """A named action with its trigger and limits. Durations are `timedelta`s; `retries` counts attempts after the first."""

    name: str
    trigger: Trigger
    action: Action
    description: str = ""
    timeout: timedelta = timedelta(seconds=600)
    retries: int = 0
    catch_up: CatchUp = "latest"
    catch_up_window: timedelta | None = None
    on_startup: bool = False
    idempotent: bool = False
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not NAME_RULE.fullmatch(self.name):
            raise ConfigError(
                [
                    f"job name '{self.name[:80]}'; wanted: a-z, 0-9, '-' and '_', at most 64, not beginning with '-' or '_'"
                ]
            )
        if self.timeout <= timedelta(0):
            raise ConfigError([f"job '{self.name}': timeout '{self.timeout}'; wanted: more than zero"])
        if self.retries < 0:
            raise ConfigError([f"job '{self.name}': retries '{self.retries}'; wanted: zero or more"])

    @property
    def window(self) -> timedelta:
        """How long a missed slot may still be run: half a period, within [60 s, 24 h], unless the job says otherwise."""
        return self.catch_up_window or min(max(self.trigger.period / 2, WINDOW_LEAST), WINDOW_MOST)

    def definition(self) -> dict[str, Any]:
        """The job as plain JSON, as it is kept in the ledger and shown to people."""
        return {
            "name": self.name,
            "trigger": str(self.trigger),
            "action": str(self.action),
            "description": self.description,
            "timeout_s": self.timeout.total_seconds(),
            "retries": self.retries,
            "catch_up": self.catch_up,
            "catch_up_window_s": self.window.total_seconds(),
            "on_startup": self.on_startup,
            "idempotent": self.idempotent,
            "params": dict(self.params),
        }

    @property
    def revision(self) -> str:
        """Twelve hex digits that change whenever the definition does."""
        text = json.dumps(self.definition(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def slots(job: Job, after: datetime, until: datetime) -> Iterator[Slot]:
    """The job's slots in (after, until], oldest first. Nothing else invents times (I3)."""
    dues = takewhile(lambda due: due <= until, job.trigger.after(after))
    return (Slot(job.name, due) for due in dues)


def next_slot(job: Job, after: datetime) -> Slot:
    """The first slot strictly later than *after*."""
    return Slot(job.name, next(job.trigger.after(after)))


class Registry(Mapping[str, Job]):
    """The jobs in force, by name, in the order they were given. Asking for an unknown one names the nearest."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs: dict[str, Job] = {}
        for job in jobs:
            if job.name in self._jobs:
                raise ConfigError([f"two jobs are named '{job.name}'; wanted: one name, one job"])
            self._jobs[job.name] = job

    def __getitem__(self, name: str) -> Job:
        try:
            return self._jobs[name]
        except KeyError:
            raise unknown_name("job", name, list(self._jobs)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._jobs

    def __iter__(self) -> Iterator[str]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def find(self, name: str) -> Job | None:
        """The job, or None: for names out of history, whose definition may be gone."""
        return self._jobs.get(name)

    def upcoming(self, after: datetime) -> list[Slot]:
        """The next slot of every job, soonest first."""
        return sorted((next_slot(job, after) for job in self.values()), key=lambda slot: (slot.due_at, slot.job_name))

    def next_times(self, after: datetime) -> dict[str, str]:
        """Job name to ISO time of its next slot, in the registry's order: the `next` of the `tick` line."""
        return {name: iso(next_slot(job, after).due_at) for name, job in self.items()}
