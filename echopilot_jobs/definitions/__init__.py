"""The set of definitions in force: probed in a child, kept on a shelf, composed for scheduler, web and command line.

What judges definitions is fetched when it is asked for: who only looks at the set in force needs none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from echopilot_jobs.definitions.inforce import Desk, InForce, as_written, in_force, living_scheduler
from echopilot_jobs.definitions.sheet import not_read
from echopilot_jobs.lazy import fetching

if TYPE_CHECKING:
    from echopilot_jobs.definitions.judging import Checked, begin, check, keep

__all__ = [
    "Checked",
    "Desk",
    "InForce",
    "as_written",
    "begin",
    "check",
    "in_force",
    "keep",
    "living_scheduler",
    "not_read",
]

__getattr__ = fetching(__name__, judging=("Checked", "begin", "check", "keep"))
