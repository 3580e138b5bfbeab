"""A file of definitions that has been read: its tables, and where each key stands in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from echopilot_jobs.jobsfile.problems import Problem
from echopilot_jobs.records import record

MODULES_MOST = 100
MODULE_RULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@record(frozen=True)
class Document:
    """One file, read and not yet judged. Dates and times are ISO text, so that *tables* is plain JSON.

    *places* says for each key on which line and column it stands, both from 1; an item of a list goes by its number.
    """

    name: str
    tables: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[tuple[str, ...], tuple[int, int]] = field(default_factory=dict)

    def place(self, *path: str) -> tuple[int, int] | tuple[None, None]:
        """Where *path* stands, or what leads to it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return None, None

    def problem(
        self, message: str, path: tuple[str, ...], *, job: str | None = None, about: str | None = None
    ) -> Problem:
        """*message* at the place of *path*."""
        line, column = self.place(*path)
        return Problem(message, self.name, line, column, job, about)


def modules_of(document: Document) -> tuple[str, ...]:
    """The modules whose code declares jobs; those that are no module's name are left to `compose` to refuse."""
    found = document.tables.get("modules")
    names = found if isinstance(found, list) else []
    good = [name for name in names if isinstance(name, str) and MODULE_RULE.fullmatch(name) and len(name) <= 200]
    return tuple(dict.fromkeys(good))[:MODULES_MOST]
