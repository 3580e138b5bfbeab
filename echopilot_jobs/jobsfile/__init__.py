"""Definitions as people write them: text into tables, tables into jobs; everything that is wrong is said in one pass.

Pure: what comes out depends on the arguments alone.
"""

from echopilot_jobs.jobsfile.composing import Composed, compose
from echopilot_jobs.jobsfile.documents import Document, modules_of, read
from echopilot_jobs.jobsfile.problems import BadJobsFile, Problem

__all__ = ["BadJobsFile", "Composed", "Document", "Problem", "compose", "modules_of", "read"]
