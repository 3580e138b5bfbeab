"""What is found while the tables of one job are read: problems and warnings, each with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from echopilot_jobs.jobs.params import shown
from echopilot_jobs.jobsfile.documents import Document
from echopilot_jobs.jobsfile.problems import Problem


@dataclass
class Notes:
    """What is to be said about one job. *sources* tells for each of its keys which document it is from.

    *job* is None for what belongs to the file as a whole; then the path of a note begins at the file's top. *meant* are the
    paths that misspelt keys most likely stand for: that one is not there is then no mistake of its own.
    """

    home: Document
    job: str | None = None
    sources: Mapping[str, Document] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    meant: set[tuple[str, ...]] = field(default_factory=set)

    def wrong(self, path: Sequence[str], message: str) -> None:
        """*message* is the matter with what stands at *path*."""
        self.problems.append(self._problem(tuple(path), message))

    def warn(self, path: Sequence[str], message: str) -> None:
        """*message* is worth knowing about what stands at *path*."""
        self.warnings.append(self._problem(tuple(path), message))

    def blames(self, *keys: str) -> bool:
        """Whether something is wrong already with one of *keys*."""
        return any(problem.field and problem.field.split(".")[0] in keys for problem in self.problems)

    def misses(self, *keys: str, inside: tuple[str, ...] = ()) -> bool:
        """Whether none of *keys* of the table *inside* was meant by a misspelt one."""
        return not any((*inside, key) in self.meant for key in keys)

    def line_of(self, key: str) -> str:
        """` (line 12)` for a key whose place is known."""
        line, _ = self._source(key).place("jobs", self.job or "", key)
        return f" (line {line})" if line else ""

    def _source(self, key: str) -> Document:
        return self.sources.get(key, self.home)

    def _problem(self, path: tuple[str, ...], message: str) -> Problem:
        about = ".".join(shown(part) or '""' for part in path) or None
        said = f"{about}: {message}" if about else message
        if self.job is None:
            return self.home.problem(said, path, about=about)
        document = self._source(path[0]) if path else self.home
        where = ("jobs", self.job, *path)
        return document.problem(f"job '{shown(self.job)}': {said}", where, job=self.job, about=about)
