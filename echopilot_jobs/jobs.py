"""What a job is: a named action with its trigger and its limits."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import takewhile
from typing import Any, Literal, get_args

from echopilot_jobs.clock import iso
from echopilot_jobs.errors import ConfigError, unknown_name
from echopilot_jobs.runs import Slot
from echopilot_jobs.triggers import Trigger, jitter_of

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
Overlap = Literal["skip", "queue_one", "queue_all", "cancel_previous", "allow"]


@dataclass(frozen=True)
class Job:
    """A named action with its trigger and limits. Durations are `timedelta`s; `retries` counts attempts after the first.

    *overlap* says what becomes of a slot that comes due while a run is still open; *max_instances* matters only with
    `allow`. *jitter* spreads starts: each slot by its own stable share of it. Jobs of one *group* share a limit.
    """

    name: str
    trigger: Trigger
    action: Action
    description: str = ""
    timeout: timedelta = timedelta(seconds=600)
    retries: int = 0
    catch_up: CatchUp = "latest"
    catch_up_window: timedelta | None = None
    overlap: Overlap = "skip"
    max_instances: int = 1
    jitter: timedelta = timedelta(0)
    group: str | None = None
    enabled: bool = True
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
        wrong = [f"job '{self.name}': {what}" for what in self._mistakes()]
        if wrong:
            raise ConfigError(wrong)

    def _mistakes(self) -> Iterator[str]:
        if self.timeout <= timedelta(0):
            yield f"timeout '{self.timeout}'; wanted: more than zero"
        if self.retries < 0:
            yield f"retries '{self.retries}'; wanted: zero or more"
        if self.catch_up not in get_args(CatchUp):
            yield f"catch_up '{self.catch_up}'; wanted: one of {', '.join(get_args(CatchUp))}"
        if self.overlap not in get_args(Overlap):
            yield f"overlap '{self.overlap}'; wanted: one of {', '.join(get_args(Overlap))}"
        if self.catch_up_window is not None and self.catch_up_window < timedelta(0):
            yield f"catch_up_window '{self.catch_up_window}'; wanted: zero or more"
        if self.jitter < timedelta(0):
            yield f"jitter '{self.jitter}'; wanted: zero or more"
        if self.jitter > self.trigger.period / 2:
            yield f"jitter '{self.jitter}'; wanted: at most half the distance between slots, '{self.trigger.period / 2}'"
        if self.max_instances < 1:
            yield f"max_instances '{self.max_instances}'; wanted: 1 or more"
        if self.max_instances > 1 and self.overlap != "allow":
            yield f"max_instances '{self.max_instances}' with overlap '{self.overlap}'; wanted: overlap 'allow'"

    @cached_property
    def window(self) -> timedelta:
        """How long a missed slot may still be run: half a period, within [60 s, 24 h], unless the job says otherwise."""
        return self.catch_up_window or min(max(self.trigger.period / 2, WINDOW_LEAST), WINDOW_MOST)

    def definition(self) -> dict[str, Any]:
        """The job as plain JSON, as it is kept in the ledger and shown to people."""
        return {
            "name": self.name,
            "trigger": str(self.trigger),
            "rule": self.trigger.as_dict(),
            "action": str(self.action),
            "description": self.description,
            "timeout_s": self.timeout.total_seconds(),
            "retries": self.retries,
            "catch_up": self.catch_up,
            "catch_up_window_s": self.window.total_seconds(),
            "overlap": self.overlap,
            "max_instances": self.max_instances,
            "jitter_s": self.jitter.total_seconds(),
            "group": self.group,
            "enabled": self.enabled,
            "on_startup": self.on_startup,
            "idempotent": self.idempotent,
            "params": dict(self.params),
        }

    @cached_property
    def revision(self) -> str:
        """Twelve hex digits that change whenever the definition does."""
        text = json.dumps(self.definition(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def slots(job: Job, after: datetime, until: datetime, generation: int = 0) -> Iterator[Slot]:
    """The job's slots in (after, until], oldest first. Nothing else invents times (I3)."""
    dues = takewhile(lambda due: due <= until, job.trigger.after(after))
    return (Slot(job.name, due, generation) for due in dues)


def next_slot(job: Job, after: datetime) -> Slot | None:
    """The first slot strictly later than *after*; None when the trigger has come to its end."""
    due = next(job.trigger.after(after), None)
    return None if due is None else Slot(job.name, due)


def planned_at(job: Job, slot: Slot) -> datetime:
    """When *slot* is to be claimed: its moment plus the job's jitter, below half the distance to the next slot."""
    if not job.jitter:
        return slot.due_at
    following = next(job.trigger.after(slot.due_at), None)
    most = job.jitter if following is None else min(job.jitter, (following - slot.due_at) / 2)
    return slot.due_at + jitter_of(f"{slot.job_name}:{slot.epoch_seconds}", most)


def next_wake(job: Job, after: datetime) -> datetime | None:
    """The first moment strictly later than *after* at which a slot of *job* is to be claimed; None when none is left."""
    if not job.jitter:
        return next(job.trigger.after(after), None)
    # A slot already past may still wait for its jitter, which never reaches over the next slot.
    for due in job.trigger.after(after - job.jitter):
        if (wake := planned_at(job, Slot(job.name, due))) > after:
            return wake
    return None


class Registry(Mapping[str, Job]):
    """The jobs in force, by name, in the order they were given. Asking for an unknown one names the nearest.

    *group_limits*: how many runs of one group may go on at a time; a group not named there has no limit.
    """

    def __init__(self, jobs: Iterable[Job], group_limits: Mapping[str, int] | None = None) -> None:
        self._jobs: dict[str, Job] = {}
        self.group_limits: Mapping[str, int] = dict(group_limits or {})
        if wrong := [
            f"group '{name}': limit '{n}'; wanted: 1 or more" for name, n in self.group_limits.items() if n < 1
        ]:
            raise ConfigError(wrong)
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

    def get(self, name: str, default: Job | None = None) -> Job | None:  # type: ignore[override]
        """As `Mapping.get`, which would raise for an unknown name: ours is no `KeyError`."""
        return self._jobs.get(name, default)

    def find(self, name: str) -> Job | None:
        """The job, or None: for names out of history, whose definition may be gone."""
        return self._jobs.get(name)

    def upcoming(self, after: datetime) -> list[Slot]:
        """The next slot of every enabled job that has one, soonest first."""
        found = (next_slot(job, after) for job in self.values() if job.enabled)
        return sorted((slot for slot in found if slot), key=lambda slot: (slot.due_at, slot.job_name))

    def with_next(self, after: datetime) -> list[tuple[Job, datetime | None]]:
        """Every job with its next moment, soonest first; those that have none come last."""
        moments = {slot.job_name: slot.due_at for slot in self.upcoming(after)}
        coming = [(self._jobs[name], due) for name, due in moments.items()]
        return [*coming, *((job, None) for name, job in self._jobs.items() if name not in moments)]

    def next_times(self, after: datetime) -> dict[str, str | None]:
        """Job name to ISO time of its next slot, in the registry's order: the `next` of the `tick` line."""
        found = {name: next_slot(job, after) if job.enabled else None for name, job in self.items()}
        return {name: iso(slot.due_at) if slot else None for name, slot in found.items()}
