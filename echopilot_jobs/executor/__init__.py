"""One run carried out: its action performed, watched, ended in time, and described as an `Outcome`.

The names below are fetched when somebody asks for them: the fork server lives in this package too, and every module it does
not hold makes each of its children cheaper to make and to end.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echopilot_jobs.executor.cancel import Cancel
    from echopilot_jobs.executor.carrying import Executor, process_mark
    from echopilot_jobs.executor.own_web import OwnWeb
    from echopilot_jobs.executor.report import Heard, Said

__all__ = ["Cancel", "Executor", "Heard", "OwnWeb", "Said", "process_mark"]

_HOMES = {
    "Cancel": "cancel",
    "Executor": "carrying",
    "process_mark": "carrying",
    "OwnWeb": "own_web",
    "Heard": "report",
    "Said": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
