"""Definitions laid over one another: what the user writes about a job that is defined already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from echopilot_jobs.jobsfile.documents import Document
from echopilot_jobs.records import record

SCHEDULE = frozenset({"every", "at", "cron", "manual", "rule", "timezone", "until", "jitter"})
RHYTHM = frozenset({"every", "cron", "manual", "rule"})
ACTION = frozenset({"run", "command", "shell", "http", "duty"})
KINDS = frozenset({"run", "command", "http", "duty"})


@record(frozen=True)
class Layered:
    """One job's table as it counts, and for each key the document it is from. *home* is where the job is defined first."""

    name: str
    home: Document
    table: Mapping[str, Any]
    sources: Mapping[str, Document]
    above: Document | None = None

    @property
    def declared_in(self) -> str:
        """Where it stands, for a person: `built-in`, `jobs.toml:12`, `myapp.jobs:nightly`, and what was laid over it."""
        line, _ = self.home.place("jobs", self.name)
        target = self.table.get("run") if self.sources.get("run") is self.home else None
        if isinstance(target, str) and target.partition(":")[0] == self.home.name:
            where = target
        else:
            where = f"{self.home.name}:{line}" if line and "." in self.home.name else self.home.name
        if self.above is None:
            return where
        line, _ = self.above.place("jobs", self.name)
        return f"{where}, changed in {self.above.name}{f':{line}' if line else ''}"


def first(name: str, document: Document, table: Mapping[str, Any]) -> Layered:
    """A job as one document alone defines it."""
    return Layered(name, document, table, dict.fromkeys(table, document))


def over(below: Layered, document: Document, table: Mapping[str, Any]) -> Layered:
    """*below* with the keys of *table* laid over it.

    Another rhythm replaces the whole schedule and another action the whole action; every other key replaces its like.
    """
    gone: set[str] = set(table)
    if RHYTHM & set(table):
        gone |= SCHEDULE
    if KINDS & set(table):
        gone |= ACTION
    kept = {key: value for key, value in below.table.items() if key not in gone}
    sources = {key: below.sources[key] for key in kept} | dict.fromkeys(table, document)
    return Layered(below.name, below.home, {**kept, **table}, sources, document)


def tables_of(document: Document) -> Iterable[tuple[str, Any]]:
    """The jobs of a document as they stand in it, good or bad."""
    found = document.tables.get("jobs")
    return found.items() if isinstance(found, Mapping) else ()
