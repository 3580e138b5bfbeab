"""What supervisord saw of a program's end, left for the program that follows: only supervisord knows the exit status."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from supervisor import events

from echopilot_jobs.processes import exit_note

# A program that ended by itself, early or late; one that was stopped on purpose says so in the ledger.
_UNASKED = (events.ProcessStateExitedEvent, events.ProcessStateBackoffEvent)


class Exits:
    """Keeps the last unasked end of each program in a file of its own under *var_dir*."""

    def __init__(self, var_dir: Path) -> None:
        self._var_dir = var_dir

    def changed(self, event: Any) -> None:
        """A program changed its state (supervisor's ProcessStateEvent). A note that cannot be written is no matter."""
        if isinstance(event, _UNASKED):
            with contextlib.suppress(OSError):
                exit_note(self._var_dir, event.process.config.name).write_text(_words(event.process), encoding="ascii")


def _words(process: Any) -> str:
    """supervisor gives -1 for whatever a signal ended."""
    status = getattr(process, "exitstatus", None)
    if isinstance(status, int) and status >= 0:
        return f"its process ended with exit status {status}"
    return "its process was killed by a signal"
