"""Who has the ledger's file open, as Linux tells it: whoever exchanges files must know that nobody does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from echopilot_jobs.ledger.durable import beside

PROC = Path("/proc")
COMPANIONS = ("-wal", "-shm", "-journal")


def users_of(path: Path) -> list[int]:
    """Pids of the other processes that have the ledger at *path*, or its log, open; as far as we may look."""
    wanted = set(filter(None, map(_place, (path, beside(path, "-wal"), beside(path, "-shm")))))
    return [pid for pid in _others() if any(place in wanted for place, _ in _opened(pid))] if wanted else []


def users_apart(path: Path) -> list[int]:
    """Pids of those that have the ledger at *path* open with a log or an index that was deleted or moved since.

    What they write nobody else sees, and what they close SQLite may write over what others wrote.
    """
    file, name = _place(path), os.path.realpath(path)  # `resolve` raises for a link to itself
    return [pid for pid in _others() if _is_apart(list(_opened(pid)), file, name)] if file else []


def _is_apart(opened: list[tuple[tuple[int, int], str]], file: tuple[int, int], name: str) -> bool:
    """Whoever has the companions that are there now, or a former ledger, may have the former one's companions, too."""
    ours = {called: place for place, called in opened if called.startswith(name)}
    bare = {called: called.removesuffix(" (deleted)") for called in ours}
    has_former = any(place != file and not bare[called].endswith(COMPANIONS) for called, place in ours.items())
    has_lost = any(
        name + suffix not in ours and any(each.endswith(suffix) for each in bare.values())
        for suffix in ("-wal", "-shm")
    )
    return file in ours.values() and not has_former and has_lost


def _others() -> list[int]:
    pids = sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal())
    return [pid for pid in pids if pid != os.getpid()]


def _opened(pid: int) -> Iterator[tuple[tuple[int, int], str]]:
    """Which files a process has open, and what the kernel calls them now."""
    with contextlib.suppress(OSError):  # it ended, or belongs to another account
        for descriptor in (PROC / str(pid) / "fd").iterdir():
            if place := _place(descriptor):
                yield place, _called(descriptor)


def _called(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # closed just now
        return ""


def _place(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
