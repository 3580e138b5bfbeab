"""One scheduler a folder: a file lock that the kernel gives back however its holder ends."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path


class PlannerLock:
    """`var/scheduler.lock`, held for life. The file holds its owner's text, for whoever has to wait."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            os.close(self._descriptor)
            raise OSError(errno.EINVAL, "it is no file", str(path))

    def take(self, owner: str) -> bool:
        """Whether the lock is ours now. Never waits."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, owner.encode(), 0)
        return True

    @property
    def is_ours(self) -> bool:
        """Whether the file at the path is still the one we locked: a removed one lets somebody else lock a new one (F47)."""
        try:
            found, ours = self.path.stat(), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        except PermissionError:  # a closed folder takes nothing away
            return True
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    @property
    def holder(self) -> str:
        """The text of whoever took it last."""
        return os.pread(self._descriptor, 200, 0).decode("ascii", "replace")

    def close(self) -> None:
        """Give it back."""
        os.close(self._descriptor)
