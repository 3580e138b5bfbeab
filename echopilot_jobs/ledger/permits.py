"""Whether this account may write the ledger's files, told without opening any: a plain open drops the locks SQLite holds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from echopilot_jobs.access import hidden, refused
from echopilot_jobs.ledger.durable import beside

OWN = stat.S_IRUSR | stat.S_IWUSR
COMPANIONS = ("-wal", "-shm")


def unwritable(path: Path) -> str | None:
    """Which of the ledger's files, or its folder, this account may not write, and what to do; None when it may (F23)."""
    if closed := hidden(path):
        return closed
    for file in (path, *(beside(path, suffix) for suffix in COMPANIONS)):
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            return refused("write", file)
    is_closed = path.parent.is_dir() and not os.access(path.parent, os.W_OK)
    return refused("write", path.parent) if is_closed else None


def narrowed(path: Path) -> list[Path]:
    """Log and index of ours that are closed to us while the ledger is open: SQLite gave them the mode it had once."""
    if not _is_open_to_owner(path):
        return []
    return [file for suffix in COMPANIONS if _is_ours_and_closed(file := beside(path, suffix))]


def widen(path: Path) -> list[Path]:
    """Give what is `narrowed` the ledger's own mode; which files those were. Raises `OSError`."""
    files = narrowed(path)
    for file in files:
        file.chmod(stat.S_IMODE(path.stat().st_mode))
    return files


def _is_open_to_owner(path: Path) -> bool:
    try:
        return path.stat().st_mode & OWN == OWN
    except OSError:
        return False


def _is_ours_and_closed(file: Path) -> bool:
    try:
        found = file.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_mode & OWN != OWN
