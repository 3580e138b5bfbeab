"""EchoPilot Jobs: scheduled jobs for one machine, every slot accounted for.

What the code of a job needs is here; each name is fetched when it is asked for, so that importing the package costs nothing.
"""

from __future__ import annotations

from echopilot_jobs.lazy import TYPE_CHECKING, fetching

if TYPE_CHECKING:
    from echopilot_jobs.context import RetryAfter, RunContext, Skip
    from echopilot_jobs.declaring import job
    from echopilot_jobs.fluent import every
    from echopilot_jobs.jobs import Param

__all__ = ["Param", "RetryAfter", "RunContext", "Skip", "every", "job"]

__version__ = "0.1.0"

__getattr__ = fetching(
    __name__, context=("RetryAfter", "RunContext", "Skip"), declaring=("job",), fluent=("every",), jobs=("Param",)
)
