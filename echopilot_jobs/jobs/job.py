"""A job: a named action with its trigger and its limits, and the slots its trigger gives it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import takewhile
from typing import Any, Literal, get_args

from echopilot_jobs.errors import ConfigError
from echopilot_jobs.jobs.actions import Action, facts_of
from echopilot_jobs.jobs.params import Param
from echopilot_jobs.records import record
from echopilot_jobs.slots import Slot
from echopilot_jobs.triggers import Trigger, jitter_of

NAME_RULE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
PRIORITY_MOST = 100
RETRY_RULE = re.compile(r"failed|timed_out|http [1-5](xx|[0-9]{2})|exit [0-9]{1,3}")
RETRY_WANTED = (
    "'failed', 'timed_out', an HTTP status such as 'http 503' or 'http 5xx', or an exit status such as 'exit 75'"
)
WINDOW_LEAST, WINDOW_MOST = timedelta(seconds=60), timedelta(hours=24)


CatchUp = Literal["latest", "all", "none"]
Overlap = Literal["skip", "queue_one", "queue_all", "cancel_previous", "allow"]


@record(frozen=True)
class Job:
    """A named action with its trigger and limits. Durations are `timedelta`s; `retries` counts attempts after the first.

    *overlap* says what becomes of a slot that comes due while a run is still open; *max_instances* matters only with
    `allow`. *jitter* spreads starts: each slot by its own stable share of it. Jobs of one *group* share a limit; of those
    that wait for a place, the higher *priority* (-100 to 100) starts first.

    *retry_on*: the bad ends another attempt may follow (`failed`, `timed_out`, `http 5xx`, `exit 75`); empty: any.
    *env*: what the child's environment has besides the allowed names; `${NAME}` is filled from the scheduler's own when the
    run starts and never kept. *cwd*: where the child starts, relative to the project's folder. *on_failure* and
    *on_recovery* name notifiers, *ping* is the address of an outside dead-man's switch. *declared_in* says where the
    definition stands, for a person; it is no part of what the job is.
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
    params: Mapping[str, Param] = field(default_factory=dict, hash=False)
    tags: tuple[str, ...] = ()
    priority: int = 0
    retry_on: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    cwd: str | None = None
    on_failure: tuple[str, ...] = ()
    on_recovery: tuple[str, ...] = ()
    ping: str | None = field(default=None, repr=False)
    declared_in: str = field(default="", compare=False)

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
        if self.jitter and self.jitter > self.trigger.period / 2:  # a period may take a while to find
            yield f"jitter '{self.jitter}'; wanted: at most half the distance between slots, '{self.trigger.period / 2}'"
        if not -PRIORITY_MOST <= self.priority <= PRIORITY_MOST:
            yield f"priority '{self.priority}'; wanted: from -{PRIORITY_MOST} to {PRIORITY_MOST}"
        if wrong := [each for each in self.retry_on if not RETRY_RULE.fullmatch(each)]:
            yield f"retry_on '{wrong[0]}'; wanted: {RETRY_WANTED}"
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
            "does": facts_of(self.action),
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
            "params": {name: param.as_dict() for name, param in self.params.items()},
            "tags": list(self.tags),
            "priority": self.priority,
            "retry_on": list(self.retry_on),
            "env": dict(self.env),
            "cwd": self.cwd,
            "on_failure": list(self.on_failure),
            "on_recovery": list(self.on_recovery),
            "ping": hashlib.sha256(self.ping.encode()).hexdigest()[:12]
            if self.ping
            else None,  # the address is a secret
        }

    @cached_property
    def version(self) -> str:
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
