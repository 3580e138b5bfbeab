"""Definitions as people write them: text into tables, tables into jobs; everything that is wrong is said in one pass.

Pure: what comes out depends on the arguments alone. Each name is fetched when it is asked for: who only looks at jobs that
were composed before needs neither what reads text nor what judges tables.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echopilot_jobs.jobsfile.composing import Composed, compose
    from echopilot_jobs.jobsfile.documents import Document, modules_of
    from echopilot_jobs.jobsfile.problems import BadJobsFile, Problem
    from echopilot_jobs.jobsfile.reading import read

__all__ = ["BadJobsFile", "Composed", "Document", "Problem", "compose", "modules_of", "read"]

_HOMES = {
    "BadJobsFile": "problems",
    "Composed": "composing",
    "Document": "documents",
    "Problem": "problems",
    "compose": "composing",
    "modules_of": "documents",
    "read": "reading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
