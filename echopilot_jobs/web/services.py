"""What the pages and the API work with, handed to them by the application that mounts the blueprint."""

from __future__ import annotations

import threading
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from flask import current_app

from echopilot_jobs.access import obstacle
from echopilot_jobs.clock import Clock
from echopilot_jobs.definitions import Desk, InForce
from echopilot_jobs.disk import free_bytes
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.jobs import Registry
from echopilot_jobs.ledger import GuestLedger, Ledger
from echopilot_jobs.ledger.identity import mark_path
from echopilot_jobs.records import record
from echopilot_jobs.settings import Settings
from echopilot_jobs.supervision import Program
from echopilot_jobs.web.auth import Door, Doorkeeper
from echopilot_jobs.web.surroundings import Surroundings

NAME = "echopilot"


class ProgramTable(Protocol):
    """What the web needs of supervisord: `supervision.Supervisor` is one."""

    def programs(self) -> list[Program]: ...

    def start(self, name: str) -> None: ...

    def stop(self, name: str) -> None: ...

    def restart(self, name: str) -> None: ...


class LedgerFile:
    """The ledger's file as the web sees it: opened on first use, found again when the file was replaced.

    The web never makes a ledger, the scheduler does. A file that is gone is said to be gone, although SQLite would go
    on reading what it has open (F18).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._opened: tuple[int, GuestLedger] | None = None

    def open(self) -> Ledger:
        """The ledger now. Raises `LedgerUnavailable`."""
        with self._guard:
            inode = self._inode()
            if self._opened is None or self._opened[0] != inode:
                # The former one is dropped, not closed: another thread may be reading from it this moment. The last to
                # let go of it closes it.
                self._opened = inode, GuestLedger(self._path)
            return self._opened[1]

    def _inode(self) -> int:
        try:
            return self._path.stat().st_ino
        except FileNotFoundError:
            raise LedgerUnavailable(f"no ledger at '{self._path.name}'; {self._remedy()}") from None
        except OSError as error:
            raise LedgerUnavailable(f"the ledger cannot be reached: {obstacle(error)}") from None

    def _remedy(self) -> str:
        if self._opened is not None or mark_path(self._path).exists():
            return "it was there before; the scheduler puts back what it rescues of it, or begins anew, and its log says so"
        return "the scheduler makes it within seconds of its first start"


class GivenLedger:
    """A ledger that the host application or a test has opened itself."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def open(self) -> Ledger:
        """That ledger."""
        return self._ledger


class GivenJobs:
    """Jobs that the host application or a test has defined itself; there is no jobs file to follow."""

    def __init__(self, registry: Registry) -> None:
        self._in_force = InForce(registry)

    def now(self) -> InForce:
        """Those jobs."""
        return self._in_force


@record(frozen=True)
class Services:
    """Everything a view may touch. `exec_wait` is how many seconds `/api/exec/…` waits for a run to end."""

    settings: Settings
    clock: Clock
    jobs: Desk | GivenJobs
    supervisor: ProgramTable
    doorkeeper: Doorkeeper
    surroundings: Surroundings
    source: LedgerFile | GivenLedger
    started_at: datetime
    exec_wait: float = 25.0
    # Each waiting request holds a thread of the web process; the rest must stay free to answer.
    waiting_rooms: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(8))

    @property
    def registry(self) -> Registry:
        """The jobs in force now."""
        return self.jobs.now().registry

    @property
    def ledger(self) -> Ledger:
        """The ledger now. Raises `LedgerUnavailable`."""
        return self.source.open()

    @property
    def door(self) -> Door:
        """Who may come in now."""
        return self.doorkeeper.now()

    def free_bytes(self) -> int | None:
        """What is left on the tighter of the disks under `var/` and `logs/`; None when neither is there."""
        return free_bytes((self.settings.var_dir, self.settings.logs_dir))


def services() -> Services:
    """The services of the application that answers this request."""
    found: Services = current_app.extensions[NAME]
    return found
