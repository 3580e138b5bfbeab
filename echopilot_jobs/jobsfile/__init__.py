"""Definitions as people write them: text into tables, tables into jobs; everything that is wrong is said in one pass.

Pure: what comes out depends on the arguments alone. Each name is fetched when it is asked for: who only looks at jobs that
were composed before needs neither what reads text nor what judges tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from echopilot_jobs.lazy import fetching

if TYPE_CHECKING:
    from echopilot_jobs.jobsfile.composing import Composed, compose
    from echopilot_jobs.jobsfile.documents import Document, modules_of
    from echopilot_jobs.jobsfile.problems import BadJobsFile, Problem
    from echopilot_jobs.jobsfile.reading import read

__all__ = ["BadJobsFile", "Composed", "Document", "Problem", "compose", "modules_of", "read"]

__getattr__ = fetching(
    __name__,
    composing=("Composed", "compose"),
    documents=("Document", "modules_of"),
    problems=("BadJobsFile", "Problem"),
    reading=("read",),
)
