"""Small files beside the ledger that are whole or absent, and names that take nobody's place.

The ledger's own file belongs to SQLite: a plain open and close of it would drop the locks this process holds on it. Only who
has not opened it yet may copy it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: bytes) -> None:
    """Put *content* at *path* (0600), whole or not at all, durable when the call returns. Raises `OSError`.

    For one writer at a time: a draft that a crash left behind has a fixed name and is written over.
    """
    draft = draft_of(path)
    try:
        write_through(draft, content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def draft_of(path: Path) -> Path:
    """Where *path* is written before it gets its name."""
    return path.with_name(f".{path.name}.draft")


def write_through(path: Path, content: bytes) -> None:
    """Write *content* to *path* and wait until the disk has it. Raises `OSError`; what was written then stays."""
    with writing_through(path) as file:
        file.write(content)


@contextmanager
def writing_through(path: Path) -> Iterator[BinaryIO]:
    """As `write_through`, for content that comes in pieces: the disk has it when the block ends."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make what was renamed, made and removed in *folder* survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp(moment: datetime) -> str:
    """A moment as part of a file's name, UTC to the second: `20260302T080000Z`."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def beside(path: Path, suffix: str) -> Path:
    """The file whose name is that of *path* with *suffix* after it: SQLite names `-wal` and `-shm` so."""
    return path.with_name(path.name + suffix)


def free_name(path: Path, suffixes: tuple[str, ...] = ("",), tail: str = "") -> Path:
    """*path* with *tail*, or the first of `PATH-2`, `PATH-3`… that neither it nor, with any of *suffixes*, anybody has."""
    names = (beside(path, tail if n == 1 else f"-{n}{tail}") for n in count(1))
    return next(each for each in names if not any(os.path.lexists(beside(each, suffix)) for suffix in suffixes))
