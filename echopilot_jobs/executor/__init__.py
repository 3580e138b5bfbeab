"""One run carried out: its action performed, watched, ended in time, and described as an `Outcome`.

The names below are fetched when somebody asks for them: the fork server lives in this package too, and every module it does
not hold makes each of its children cheaper to make and to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from echopilot_jobs.lazy import fetching

if TYPE_CHECKING:
    from echopilot_jobs.executor.cancel import Cancel
    from echopilot_jobs.executor.carrying import Executor, process_mark
    from echopilot_jobs.executor.own_web import OwnWeb
    from echopilot_jobs.executor.report import Heard, Said

__all__ = ["Cancel", "Executor", "Heard", "OwnWeb", "Said", "process_mark"]

__getattr__ = fetching(
    __name__,
    cancel=("Cancel",),
    carrying=("Executor", "process_mark"),
    own_web=("OwnWeb",),
    report=("Heard", "Said"),
)
