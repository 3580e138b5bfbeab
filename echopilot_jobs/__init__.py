"""EchoPilot Jobs: scheduled jobs for one machine, every slot accounted for.

What the code of a job needs is here; each name is fetched when it is asked for, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as type checkers read it; `typing` is the larger part of what `bin/echopilot` would load first

if TYPE_CHECKING:
    from typing import Any

    from echopilot_jobs.context import RetryAfter, RunContext, Skip
    from echopilot_jobs.declaring import job
    from echopilot_jobs.fluent import every
    from echopilot_jobs.jobs import Param

__all__ = ["Param", "RetryAfter", "RunContext", "Skip", "every", "job"]

__version__ = "0.1.0"

_HOMES = {
    "Param": "jobs",
    "RetryAfter": "context",
    "RunContext": "context",
    "Skip": "context",
    "every": "fluent",
    "job": "declaring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
