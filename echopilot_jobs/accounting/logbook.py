"""What the scheduler's log says of runs, so that the ledger can be held to it."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from sys import intern
from typing import Any

from echopilot_jobs.accounting.owed import seconds_of
from echopilot_jobs.clock import iso
from echopilot_jobs.ledger.restores import Restore
from echopilot_jobs.logreading import SCHEDULER_LOG
from echopilot_jobs.runs import OPEN_STATES

_BIRTH = "ledger.new"
_WANTED = (b'"slot.claimed"', b'"run.finished"', b'"ledger.new"')


@dataclass(frozen=True, slots=True)
class Told:
    """What the log says of one run: its job, the slot it was claimed for and how it ended, where lines tell of that."""

    job_name: str
    slot: int | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the log tells of before the ledger began empty, *at* then: *count* runs, their numbers and their time."""

    at: datetime
    first_run: int
    last_run: int
    count: int
    since: datetime
    until: datetime


@dataclass
class Logbook:
    """Every run the log tells of, by job and number, and its *lines* by job.

    *earlier*: what it tells of the ledger before this one. *foreign* counts lines older than the ledger where the log does
    not say when that began.
    """

    runs: dict[str, dict[int, Told]] = field(default_factory=dict)
    lines: Counter[str] = field(default_factory=Counter)
    files: int = 0
    foreign: int = 0
    earlier: Earlier | None = None
    notes: list[str] = field(default_factory=list)

    def add(self, run_id: int, told: Told) -> None:
        """Remember what a further line says of a run."""
        known = self.runs.setdefault(told.job_name, {})
        if before := known.get(run_id):
            told = Told(told.job_name, before.slot if told.slot is None else told.slot, told.end or before.end)
        known[run_id] = told
        self.lines[told.job_name] += 1

    def forget(self, restore: Restore) -> tuple[list[int], int]:
        """Leave out what *restore* took from the ledger: the numbers of those runs, and how many more lost their end."""
        lost, ends = [], 0
        for job_name, runs in self.runs.items():
            gone = [run_id for run_id in runs if restore.lost(run_id)]
            open_then = [run_id for run_id in restore.unended & runs.keys() if runs[run_id].end]
            kept = {run_id: told for run_id, told in runs.items() if not restore.lost(run_id)}
            self.runs[job_name] = kept | {run_id: replace(runs[run_id], end=None) for run_id in open_then}
            lost += gone
            ends += len(open_then)
        return sorted(lost), ends


@dataclass
class _Reader:
    """Takes lines into *book* in the order of the log: those later than *start*, of the jobs of *names*.

    *first*: the ledger's first moment, by which lines are judged until the log says where the ledger begins. By their place
    they are judged then: a clock that is set back beyond that moment makes no stranger of a line.
    """

    book: Logbook
    start: str
    first: str
    names: Collection[str] | None
    ledger_id: str | None
    is_placed: bool = False
    older: set[int] = field(default_factory=set)
    since: str = ""
    until: str = ""

    def take(self, line: bytes) -> None:
        """What one line says; nothing where it is none of ours."""
        try:
            facts = json.loads(line)
            if facts["event"] == _BIRTH:
                self._begin(facts)
            else:
                self._add(facts)
        except (ValueError, KeyError, TypeError):
            return

    def _begin(self, facts: dict[str, Any]) -> None:
        """The ledger began empty here. Only the first time counts: one that was put back is told of as new once more."""
        if self.is_placed or facts["ledger_id"] != self.ledger_id or not facts["empty"]:
            return
        at, book, self.is_placed = datetime.fromisoformat(facts["ts"]), self.book, True
        before = self.older.union(*book.runs.values())
        if before:
            first, last = (datetime.fromisoformat(f"{each}+00:00") for each in (self.since, self.until))
            book.earlier = Earlier(at, min(before), max(before), len(before), first, last)
        book.runs, book.lines, book.foreign = {}, Counter(), 0

    def _add(self, facts: dict[str, Any]) -> None:
        event, at, run_id, job = facts["event"], str(facts["ts"])[:19], int(facts["run"]), intern(str(facts["job"]))
        slot = seconds_of(datetime.fromisoformat(facts["slot"])) if event == "slot.claimed" else None
        state = intern(str(facts["state"])) if event == "run.finished" else None
        if at <= self.start or (self.names is not None and job not in self.names):
            return
        if not self.is_placed:
            self.since, self.until = min(self.since or at, at), max(self.until, at)
            if at < self.first:
                self.book.foreign += 1
                self.older.add(run_id)
                return
        self.book.add(run_id, Told(job, slot, None if state in OPEN_STATES else state))


def read_logbook(
    logs_dir: Path,
    since: datetime,
    begun: datetime | None = None,
    names: Collection[str] | None = None,
    ledger_id: str | None = None,
) -> Logbook:
    """The claims and ends of runs that `scheduler.log` and its rotated files tell of, later than *since*.

    Lines before the one that says that the ledger of *ledger_id* began empty are summed up; where there is none, those older
    than *begun*, when the ledger was, are counted only. Lines that are no JSON are passed over: the log may be torn where a
    machine lost power, and what was never written cannot be missed.
    """
    book = Logbook()
    reader = _Reader(book, iso(since)[:19], iso(begun)[:19] if begun else "", names, ledger_id)
    for path in _files(logs_dir, since):
        try:
            for line in _lines(path):
                reader.take(line)
            book.files += 1
        except (OSError, EOFError, gzip.BadGzipFile) as error:
            book.notes.append(f"'{path.name}' could not be read to its end: {error}")
    return book


def _files(logs_dir: Path, since: datetime) -> list[Path]:
    """Rotated files carry the moment of their rotation in their names, so that names sort by age; the current one is last."""
    rotated = sorted(path for path in logs_dir.glob("scheduler.*.log*") if path.is_file())
    young = [path for path in rotated if path.stat().st_mtime >= since.timestamp()]
    current = logs_dir / SCHEDULER_LOG
    return [*young, current] if current.is_file() else young


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            if any(word in line for word in _WANTED) and line.endswith(b"\n"):
                yield line
