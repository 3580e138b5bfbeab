"""The set of definitions in force: probed in a child, kept on a shelf, composed for scheduler, web and command line.

What judges definitions is fetched when it is asked for: who only looks at the set in force needs none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from echopilot_jobs.definitions.inforce import Desk, InForce, in_force, living_scheduler
from echopilot_jobs.definitions.sheet import not_read

if TYPE_CHECKING:
    from echopilot_jobs.definitions.judging import Checked, begin, check, keep

__all__ = ["Checked", "Desk", "InForce", "begin", "check", "in_force", "keep", "living_scheduler", "not_read"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.judging"), name)
