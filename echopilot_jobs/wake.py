"""A FIFO that wakes the scheduler: whoever queued a run writes one byte.

A FIFO, not a socket, because its path may be of any length; a lost byte costs at most one beat, since the scheduler looks
at its queue every beat anyway.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from pathlib import Path


def nudge(path: Path) -> bool:
    """Wake the scheduler that reads *path*; whether one was there. Never blocks, never raises for an absent scheduler."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        os.write(descriptor, b"!")
    except BlockingIOError:
        pass  # full: it has been woken many times over
    except BrokenPipeError:
        return False
    finally:
        os.close(descriptor)
    return True


def open_for_waiting(path: Path) -> int:
    """The scheduler's end, made anew (0600). Opened for both ways so that a departing writer is not an end of file."""
    with contextlib.suppress(FileNotFoundError):
        path.rmdir() if path.is_dir() else path.unlink()
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def drain(descriptor: int) -> None:
    """Swallow every byte that waits."""
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


class Waiter:
    """The scheduler's one place to wait: for time, for somebody's nudge, for a signal, for a run that ended."""

    def __init__(self, path: Path) -> None:
        self._guard = threading.Lock()
        self._descriptor = open_for_waiting(path)
        # The interpreter writes a byte here on every signal, so one arriving just before `wait` is not slept through.
        signal.set_wakeup_fd(self._descriptor, warn_on_full_buffer=False)

    def ring(self) -> None:
        """Wake the waiter, if it still waits; may be called from any thread."""
        with self._guard, contextlib.suppress(BlockingIOError):
            if self._descriptor >= 0:
                os.write(self._descriptor, b"!")

    def wait(self, seconds: float) -> None:
        """Return after *seconds*, or sooner when something rings."""
        if select.select([self._descriptor], [], [], max(seconds, 0.0))[0]:
            drain(self._descriptor)

    def close(self) -> None:
        """Stop listening."""
        signal.set_wakeup_fd(-1)
        with self._guard:  # its number may be another file's in a moment
            os.close(self._descriptor)
            self._descriptor = -1
