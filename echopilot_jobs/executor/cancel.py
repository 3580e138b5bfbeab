"""A request to stop, which a thread can wait for together with pipes and processes."""

from __future__ import annotations

import os
import threading


class Cancel:
    """Asked once, from any thread; readable as a file descriptor from then on."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._event = threading.Event()

    def ask(self) -> None:
        """Ask the run to stop."""
        if not self._event.is_set():
            self._event.set()
            os.write(self._write, b"!")

    @property
    def asked(self) -> bool:
        """Whether somebody did."""
        return self._event.is_set()

    def fileno(self) -> int:
        """Becomes readable when somebody asks."""
        return self._read

    def close(self) -> None:
        """Give the descriptors back, when the run has ended."""
        os.close(self._read)
        os.close(self._write)
