"""Jobs as plain JSON that loses nothing, and back.

`Job.definition` is for people and for telling versions apart; this is for a file of our own that another process reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from echopilot_jobs.jobs.actions import Command, Http, Inline, Python, facts_of
from echopilot_jobs.jobs.job import Job
from echopilot_jobs.jobs.params import Param
from echopilot_jobs.jobs.registry import Registry
from echopilot_jobs.triggers import trigger_of

Change = Callable[[Any], Any]


def facts_of_jobs(registry: Registry) -> dict[str, Any]:
    """The jobs in force as plain JSON. It holds what their definitions hold, so it is for this account alone."""
    return {"jobs": [_written(job) for job in registry.values()], "group_limits": dict(registry.group_limits)}


def jobs_of(facts: Mapping[str, Any]) -> Registry:
    """The jobs that `facts_of_jobs` described.

    Raises `ValueError`, `TypeError`, `KeyError` or `ConfigError` for anything else.
    """
    return Registry((_read(each) for each in facts["jobs"]), facts["group_limits"])


def _written(job: Job) -> dict[str, Any]:
    values = {each.name: getattr(job, each.name) for each in fields(job)}
    return {name: WRITERS.get(name, _same)(value) for name, value in values.items()}


def _read(facts: Mapping[str, Any]) -> Job:
    return Job(**{name: READERS.get(name, _same)(value) for name, value in facts.items()})


def _same(value: Any) -> Any:
    return value


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def _length(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _action(facts: Mapping[str, Any]) -> Inline | Python | Command | Http:
    match facts:
        case {"kind": "inline", **rest}:
            return Inline(**rest)
        case {"kind": "python", **rest}:
            return Python(**rest)
        case {"kind": "command", "argv": argv, **rest}:
            return Command(tuple(argv), **rest)
        case {"kind": "http", "expect": expect, **rest}:
            return Http(expect=tuple(expect), **rest)
    raise ValueError("an action of no known kind")


def _param(facts: Mapping[str, Any]) -> Param:
    return Param(**{**facts, "choices": tuple(facts["choices"])})


WRITERS: Mapping[str, Change] = {
    "trigger": lambda trigger: trigger.as_dict(),
    "action": facts_of,
    "params": lambda params: {name: param.as_dict() for name, param in params.items()},
    **dict.fromkeys(("timeout", "catch_up_window", "jitter"), _seconds),
    **dict.fromkeys(("tags", "retry_on", "on_failure", "on_recovery"), list),
}
READERS: Mapping[str, Change] = {
    "trigger": trigger_of,
    "action": _action,
    "params": lambda params: {name: _param(facts) for name, facts in params.items()},
    **dict.fromkeys(("timeout", "catch_up_window", "jitter"), _length),
    **dict.fromkeys(("tags", "retry_on", "on_failure", "on_recovery"), tuple),
}
