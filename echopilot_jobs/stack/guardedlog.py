"""Log files of supervisord that come back when they can and never end supervisord when they cannot."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import IO, Any

from supervisor import loggers

from echopilot_jobs.stack.console import Console

QUIET_SECONDS = 60.0  # at most one warning per file in this time
LOOK_SECONDS = 1.0  # how often a file is checked for having been deleted or replaced


class GuardedLog(loggers.RotatingFileHandler):  # type: ignore[misc]  # supervisor ships no types
    """supervisor's rotating log file, with every failure survived and said once a minute."""

    stream: IO[bytes]
    baseFilename: str  # noqa: N815 - supervisor's name
    _warned = _looked = -QUIET_SECONDS

    def __init__(self, filename: str, *args: Any, **kwargs: Any) -> None:
        with contextlib.suppress(OSError):
            Path(filename).parent.mkdir(parents=True, exist_ok=True)
        try:
            super().__init__(filename, *args, **kwargs)
        except OSError:  # an unwritable log must not keep a program from starting
            super().__init__(os.devnull, *args, **kwargs)
            self.baseFilename = filename
            self._complain()

    def emit(self, record: Any) -> None:
        """Write one chunk; a file that was deleted or moved away is opened anew first."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            if not self._in_place():
                self.reopen()
        super().emit(record)

    def doRollover(self) -> None:  # noqa: N802 - supervisor's name
        """Rotate when the file is full. Stock raises here, out of supervisord's main loop."""
        try:
            super().doRollover()
        except (OSError, ValueError):
            self.reopen()

    def reopen(self) -> None:
        """Open the file again, folder included; into nothing when that fails, until a later look succeeds."""
        with contextlib.suppress(OSError, ValueError):
            self.stream.close()
        path = Path(self.baseFilename)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.stream = open(path, "ab", opener=_never_waiting)  # noqa: SIM115 - stays open as long as the handler
        except OSError:
            self.stream = Path(os.devnull).open("ab")  # noqa: SIM115
            self._complain()
        self.closed = False

    def handleError(self) -> None:  # noqa: N802 - supervisor's name
        """A write failed. Stock prints a traceback for every line."""
        self._complain()

    def _in_place(self) -> bool:
        """True while the open file is the one its name leads to."""
        with contextlib.suppress(OSError, ValueError):
            return os.path.samestat(os.fstat(self.stream.fileno()), Path(self.baseFilename).stat())
        return False

    def _complain(self) -> None:
        if time.monotonic() - self._warned > QUIET_SECONDS:
            self._warned = time.monotonic()
            why = sys.exc_info()[1]
            Console(sys.stderr).write(f"cannot write '{self.baseFilename}' ({why}); its output is lost meanwhile\n")


def _never_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe in its place, which nobody reads, is an error."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def guard(logger: Any) -> None:
    """Guard every file supervisord opens from now on, and those *logger* has open already."""
    loggers.RotatingFileHandler = GuardedLog
    for handler in logger.handlers:
        if type(handler).__name__ == "RotatingFileHandler":
            handler.__class__ = GuardedLog
