"""Scheduler processes without a supervisord."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.processes import is_frozen, marked
from echopilot_jobs.runs import Run, State
from tests.process.stacks import PROJECT, eventually

SCRIPT = Path(__file__).parent / "lone_scheduler.py"


class Lone:
    """Scheduler processes of one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, command: str, every: int = 3600, *flags: str, under: Sequence[str] = ()) -> subprocess.Popen[str]:
        """A process; *under* is what its command line begins with, such as `BOUND_BY_MODES`."""
        environ = {**os.environ, "ECHOPILOT_HOME": str(self.home), "PYTHONPATH": str(PROJECT), "PORT": "1"}
        arguments = [*under, sys.executable, str(SCRIPT), command, str(every), *flags]
        with (self.home / f"console-{len(self.processes)}.txt").open("w") as console:
            process = subprocess.Popen(arguments, env=environ, stdout=console, stderr=subprocess.STDOUT, text=True)
        self.processes.append(process)
        return process

    def said(self, process: subprocess.Popen[str]) -> str:
        """What a process has printed so far."""
        return (self.home / f"console-{self.processes.index(process)}.txt").read_text()

    def ledger(self) -> SqliteLedger:
        return SqliteLedger(self.home / "var" / "ledger.sqlite3", create=False)

    def runs(self, job_name: str = "work") -> list[Run]:
        path = self.home / "var" / "ledger.sqlite3"
        if not path.exists():
            return []
        ledger = SqliteLedger(path)
        try:
            return list(reversed(ledger.runs(job_name=job_name, limit=200)))
        finally:
            ledger.close()

    def running(self) -> Run:
        return eventually(lambda: next((run for run in self.runs() if run.state is State.RUNNING), None))  # type: ignore[return-value]

    def freeze(self, process: subprocess.Popen[str]) -> None:
        """Stop *process* between two transactions: inside one it would keep SQLite's lock, and everybody out."""
        eventually(lambda: self._is_frozen_outside(process))

    def _is_frozen_outside(self, process: subprocess.Popen[str]) -> bool:
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: is_frozen(process.pid))
        with closing(sqlite3.connect(self.home / "var" / "ledger.sqlite3", timeout=0.0, isolation_level=None)) as db:
            try:
                db.execute("begin immediate")
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
                return False
            db.execute("rollback")
        return True

    def events(self, *names: str) -> list[dict[str, object]]:
        path = self.home / "logs" / "scheduler.log"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["event"] in names]

    def left_behind(self, run: Run) -> list[int]:
        return marked("ECHOPILOT_MARK", f"{run.owner}/{run.id}/{run.attempt}")
