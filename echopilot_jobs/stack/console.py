"""What a person sees who runs the stack in the foreground: supervisord's own lines and what the programs print."""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import Any

MIRROR_BYTES_PER_SECOND = 64 * 1024  # per program; the rest is in its log file


class Console:
    """A stream that never blocks supervisord: what its reader does not take in time is counted and dropped."""

    def __init__(self, stream: Any) -> None:
        self._dropped = 0
        self._poll = select.poll()
        try:
            self._descriptor: int = stream.fileno()
            self._poll.register(self._descriptor, select.POLLOUT)
        except (AttributeError, OSError, ValueError):  # closed, or replaced by something without a descriptor
            self._descriptor = -1

    def write(self, text: str | bytes) -> None:
        """Write whole lines, as far as they go at once."""
        data = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
        if self._dropped and self._ready():
            data = b"[console] %d bytes dropped while nobody read\n" % self._dropped + data
            self._dropped = 0
        for start in range(0, len(data), select.PIPE_BUF):
            # A pipe that is ready takes PIPE_BUF bytes without blocking, not more.
            if not self._ready():
                self._dropped += len(data) - start
                return
            with contextlib.suppress(OSError):
                os.write(self._descriptor, data[start : start + select.PIPE_BUF])

    def flush(self) -> None:
        """Nothing is held back."""

    def fileno(self) -> int:
        """The descriptor, by which supervisord knows standard output and never closes it."""
        return self._descriptor

    def _ready(self) -> bool:
        return self._descriptor >= 0 and any(event & select.POLLOUT for _, event in self._poll.poll(0))


class Mirror:
    """The programs' output on the console, line by line, with a budget per program and second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tails: dict[str, bytes] = {}
        self._spent: dict[str, tuple[int, int]] = {}

    def wrote(self, event: Any) -> None:
        """A program printed something (supervisor's ProcessLogEvent)."""
        name, data = event.process.config.name, event.data
        data = self._tails.pop(name, b"") + (data if isinstance(data, bytes) else data.encode())
        whole, newline, tail = data.rpartition(b"\n")
        if len(tail) > select.PIPE_BUF:  # no line end in sight
            whole, newline, tail = data, b"\n", b""
        if tail:
            self._tails[name] = tail
        if newline:
            self._show(name, whole)

    def changed(self, event: Any) -> None:
        """A program changed its state (ProcessStateEvent): its last words may lack a line end."""
        if tail := self._tails.pop(event.process.config.name, b""):
            self._show(event.process.config.name, tail)

    def _show(self, name: str, data: bytes) -> None:
        second = int(time.monotonic())
        since, spent = self._spent.get(name, (second, 0))
        spent = spent if since == second else 0
        self._spent[name] = (second, spent + len(data))
        if spent + len(data) <= MIRROR_BYTES_PER_SECOND:
            lines = data.decode("utf-8", "backslashreplace").split("\n")
            self._console.write("".join(f"[{name}] {line}\n" for line in lines))
        elif spent <= MIRROR_BYTES_PER_SECOND:
            self._console.write(f"[{name}] ... prints faster than the console shows; its log file has the rest\n")
