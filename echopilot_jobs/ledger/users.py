"""Who has the ledger's file open, as Linux tells it: whoever exchanges files must know that nobody does."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from echopilot_jobs.ledger.durable import beside

PROC = Path("/proc")


def users_of(path: Path) -> list[int]:
    """Pids of the other processes that have the ledger at *path*, or its log, open; as far as we may look."""
    wanted = set(filter(None, map(_place, (path, beside(path, "-wal"), beside(path, "-shm")))))
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()] if wanted else []
    return sorted(pid for pid in pids if pid != os.getpid() and _has_open(pid, wanted))


def _has_open(pid: int, wanted: set[tuple[int, int]]) -> bool:
    with contextlib.suppress(OSError):  # it ended, or belongs to another account
        return any(_place(descriptor) in wanted for descriptor in (PROC / str(pid) / "fd").iterdir())
    return False


def _place(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
