"""What is wrong with a jobs file, each with its place; and the error that carries all of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from echopilot_jobs.errors import ConfigError
from echopilot_jobs.records import record


@record(frozen=True)
class Problem:
    """One line for a person, and where it belongs. Lines and columns count from 1; *field* is dotted: `http.url`."""

    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    job: str | None = None
    field: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The problem as plain JSON."""
        return asdict(self)

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{where}: {self.message}" if where else self.message


class BadJobsFile(ConfigError):
    """Definitions that cannot be used. `found` has every problem with its place, `problems` the same as lines (I28)."""

    exit_code = 2

    def __init__(self, found: Iterable[Problem]) -> None:
        self.found = tuple(sorted(found, key=_place))
        super().__init__([str(problem) for problem in self.found])


def _place(problem: Problem) -> tuple[str, int, int]:
    return problem.file or "", problem.line or 0, problem.column or 0
