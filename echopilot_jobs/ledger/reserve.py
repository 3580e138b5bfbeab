"""A little disk space kept back, so that a full disk can still record how a run ended (F25, F26)."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

from echopilot_jobs.ledger.durable import beside, sync_folder, write_through

RESERVE_SUFFIX = ".reserve"
RESERVE_BYTES = 1024 * 1024
# Taken back only when this many times its size is free, or it would be taken and given again at the edge of a full disk.
ROOM_FACTOR = 4
PROBE_BYTES = 64 * 1024
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Reserve:
    """A file of *size* bytes beside the ledger at *path*, given to the disk when there is no other room."""

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._file = beside(path, RESERVE_SUFFIX)
        self._size = size

    @property
    def held(self) -> bool:
        """Whether the space is kept back now."""
        return _size(self._file) == self._size

    def take(self) -> bool:
        """Keep the space back; whether it is held now. Quietly False where there is no room for it or for more."""
        if self.held:
            return True
        draft = beside(self._file, ".draft")
        try:
            if shutil.disk_usage(self._file.parent).free < ROOM_FACTOR * self._size:
                return False
            write_through(draft, os.urandom(self._size))  # noise, which no file system stores in less than its length
            draft.replace(self._file)
            sync_folder(self._file.parent)
        except OSError:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            return False
        return True

    def release(self) -> bool:
        """Give the space to whoever writes next; whether there was any to give."""
        had = self.held
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
            sync_folder(self._file.parent)
        return had


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether a write failed because the disk under *folder* or this account's share of it is full (F24, F27).

    *error* is what SQLite or the system raised, or what was raised from it, such as `LedgerUnavailable`. SQLite has a word
    of its own for a full disk only; a quota or a lack of inodes is "disk I/O error" or "unable to open", so those are put
    to the proof with a small file.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            return True
        code = getattr(cause, "sqlite_errorcode", None)
        if isinstance(cause, sqlite3.Error) and code is not None:
            return _tells_full(code, folder)
        cause = cause.__cause__
    return False


def _tells_full(code: int, folder: Path) -> bool:
    plain = code & 0xFF
    if plain == sqlite3.SQLITE_FULL:
        return True
    return plain in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and not _has_room(folder)


def _has_room(folder: Path) -> bool:
    try:
        with tempfile.NamedTemporaryFile(prefix=".probe", dir=folder) as file:
            file.write(os.urandom(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno not in NO_ROOM
    return True


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
