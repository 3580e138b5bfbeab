"""What a soak left behind, read once everything has ended: the ledger, the effects, the log, and what the soak noted."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from echopilot_jobs.clock import to_ms
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.facts import Obligation
from tests.soak.records import read
from tests.soak.work import LEDGER

Row = dict[str, Any]
Attempt = tuple[int, int]  # run, attempt

_RUNS = """
select runs.*, jobs.name as job, stints.owner from runs join jobs on jobs.id = runs.job_id
left join stints on stints.id = runs.stint_id order by runs.id
"""
_SKIPS = "select jobs.name as job, skips.* from skips join jobs on jobs.id = skips.job_id"
_GAPS = "select jobs.name as job, gaps.* from gaps join jobs on jobs.id = gaps.job_id"
_RETRIES = "select run_id, attempt from events where state = 'retry_wait'"


@dataclass
class Account:
    """What the ledger says of one job's slots."""

    first_seen: int
    planned_through: int
    obligations: list[Obligation]


@dataclass
class Evidence:
    """Everything the verdict looks at; moments are epoch milliseconds."""

    folder: Path
    runs: dict[int, Row] = field(default_factory=dict)
    skips: list[Row] = field(default_factory=list)
    gaps: list[Row] = field(default_factory=list)
    stints: list[Row] = field(default_factory=list)
    failed_attempts: set[Attempt] = field(default_factory=set)
    accounts: dict[str, Account] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    effects: list[Row] = field(default_factory=list)
    records: list[Row] = field(default_factory=list)
    log: list[Row] = field(default_factory=list)
    bad_lines: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> Evidence:
        """Read all of it. Only after every process has ended."""
        found = cls(folder, effects=read(folder / "effects.ndjson"), records=read(folder / "storm.ndjson"))
        found._read_ledger(folder / LEDGER)
        found._read_accounts(folder / LEDGER)
        found._read_log(folder / "project" / "logs")
        found._read_consoles()
        return found

    def begins(self) -> Iterator[Row]:
        """The effects themselves, in the order they happened."""
        return (effect for effect in self.effects if effect["do"] == "begin")

    def of_attempts(self, do: str) -> dict[Attempt, list[Row]]:
        """The lines of one kind by run and attempt."""
        found: dict[Attempt, list[Row]] = defaultdict(list)
        for effect in self.effects:
            if effect["do"] == do:
                found[effect["run"], effect["attempt"]].append(effect)
        return found

    def noted(self, what: str) -> list[Row]:
        """The soak's own records of one kind."""
        return [record for record in self.records if record["what"] == what]

    def _read_ledger(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.row_factory = sqlite3.Row
            self.runs = {row["id"]: dict(row) for row in db.execute(_RUNS)}
            self.skips = [dict(row) for row in db.execute(_SKIPS)]
            self.gaps = [dict(row) for row in db.execute(_GAPS)]
            self.stints = [dict(row) for row in db.execute("select * from stints order by term")]
            self.failed_attempts = {(row["run_id"], row["attempt"]) for row in db.execute(_RETRIES)}
            said = [row[0] for row in db.execute("pragma integrity_check")]
            broken = [str(tuple(row)) for row in db.execute("pragma foreign_key_check")]
        self.complaints = [line for line in said if line != "ok"] + broken

    def _read_accounts(self, path: Path) -> None:
        ledger = SqliteLedger(path, create=False)
        first_seen, through = ledger.first_seen(), ledger.planned_through()
        for name, start in first_seen.items():
            self.accounts[name] = Account(to_ms(start), to_ms(through[name]), ledger.obligations(name))
        ledger.close()

    def _read_log(self, folder: Path) -> None:
        for path in sorted(folder.glob("scheduler*.log*"), key=lambda path: path.stat().st_mtime_ns):
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            *lines, torn = data.split(b"\n")
            if torn:
                self.bad_lines.append(f"{path.name} ends without a line end: {torn[-200:]!r}")
            for line in lines:
                try:
                    self.log.append(json.loads(line, parse_constant=_refuse))
                except ValueError as error:
                    self.bad_lines.append(f"{path.name}: {error}: {line[:300]!r}")

    def _read_consoles(self) -> None:
        for path in sorted([*self.folder.glob("console-*.txt"), *(self.folder / "project" / "logs").glob("*.log")]):
            parts = path.read_bytes().decode(errors="replace").split("Traceback (most recent call last)")
            self.tracebacks += [f"{path.name}: {_last_line(part)}" for part in parts[1:]]


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"'{constant}' is not JSON")


def _last_line(traceback: str) -> str:
    """The line of a traceback that says what happened: the first that is not indented."""
    return next((line for line in traceback.splitlines()[1:] if line and not line.startswith((" ", "["))), "?")
